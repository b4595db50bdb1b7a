"""One call of `quantize`: its model and profile, the samples that int8 is judged by, and the searches that begin from
the first quantized graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .graph import Array, Graph
from .metrics import Target
from .oracle import float_oracle
from .profiling import Dataset, Profile, open_dataset, record
from .quantization import QuantConfig, QuantState, run_passes
from .report.agreement import Agreement, measure
from .report.judging import CROSS_VALIDATION, SEEN, Grounds, cross_validate, grounds_of
from .report.search import reach
from .report.target import MixedPrecisionResult, fitting, folds_of
from .report.widen import may_widen, widen
from .runtime.manifest import Manifest
from .simplify.assume_branches import assume_branches

Data = str | Path | Iterable[Mapping[str, Array]] | Dataset
WIDENED_BY = 4  # samples


class Quantizing:
    """One call of `quantize`: the model, and what is compared with it."""

    def __init__(
        self, model: Any, imported: Graph, graph: Graph, recorded: Profile | None, config: QuantConfig, progress: bool,
        target: Target | None = None,
    ) -> None:  # fmt: skip
        self.imported, self.graph, self.recorded, self.config, self.quiet = (
            imported, graph, recorded, config, not progress
        )  # fmt: skip
        self.target, self.has_target = target, config.has_target or target is not None
        self.oracle = cache(lambda: float_oracle(model, graph))

    def start(self, recorded: Profile | None) -> QuantState:
        return start_of(self.imported, self.graph, recorded, self.config, self.has_target)

    def grounds(self, check: Data | bool | None, limit: int | None) -> Grounds | None:
        """What to judge by; None where nothing is to be compared. limit: of given samples."""
        if check is None or check is False:
            return None
        given = None if check is True else open_dataset(check, self.graph).spread(limit)
        return grounds_of(given, self.recorded, self.graph)

    def judged(self, grounds: Grounds | None, quantized: Graph, config: QuantConfig) -> Agreement | None:
        """int8 beside float. A small data set is cross-validated, but where the graph itself is broken on samples that
        it was calibrated with already."""
        if grounds is None:
            return None
        found = measure(self.oracle(), quantized, grounds.data, grounds.powers, quiet=self.quiet)
        found.how = grounds.how
        if grounds.how == CROSS_VALIDATION:
            if not found.is_broken(config.min_agreement_sqnr_db):
                return self._validated(grounds, config)
            found.how = SEEN
        return found

    def _validated(self, grounds: Grounds, config: QuantConfig) -> Agreement:
        """Cross-validation of a configuration. The way through branches is that of the whole profile."""

        def quantized(recorded: Profile) -> Graph:
            assert self.recorded is not None
            recorded.choices = self.recorded.choices
            return run_passes(replace(self.start(recorded), config=config)).graph

        found = cross_validate(grounds, lambda fold: record(self.graph, fold), quantized, self.oracle())
        found.how = grounds.how
        return found

    def widened(self, start: QuantState, result: QuantState, check: Data | bool | None) -> tuple[QuantState, Manifest]:
        """The result with wider formats where it is poor, and the manifest's entry of them: chosen by a few of the
        samples that it is judged by, as nothing else may be there."""
        grounds = self.grounds(check, WIDENED_BY) if may_widen(self.config) and start.branches is not None else None
        if grounds is None or start.branches is None:
            return result, {}
        samples = fitting(start.branches, grounds.data.spread(WIDENED_BY))
        made, account = widen(
            start.branches.graph, result, lambda c: run_passes(replace(start, config=c)), tuple(samples or ()),
            self.oracle(), self.quiet,
        )  # fmt: skip
        return made, {} if account is None else {"wider": account}

    def reach(
        self, start: QuantState, result: QuantState, check: Data | bool | None, budget: float | None
    ) -> MixedPrecisionResult:
        """The configuration's target."""
        assert start.branches is not None
        grounds = self.grounds(check, None)
        if grounds is not None:
            fits = fitting(start.branches, grounds.data)
            grounds = replace(grounds, data=fits) if fits is not None else None
        folds = folds_of(
            grounds, self.oracle(), self.config,
            lambda c: self._validated(grounds, c) if grounds is not None else Agreement(), self.quiet,
            self.target,
        )  # fmt: skip
        return reach(
            start.branches.graph, result, lambda c: run_passes(replace(start, config=c)), folds, budget, self.quiet
        )


def start_of(
    imported: Graph, graph: Graph, recorded: Profile | None, config: QuantConfig, has_target: bool
) -> QuantState:
    """What quantization begins with: a profile's graph of the branches that calibration took, or a model without a
    profile. Raises ConfigError where a target would have no profile to choose by."""
    if recorded is None and has_target:
        raise ConfigError(
            "a target (min_sqnr_db, max_accuracy_drop, a metric) is met by keeping layers float that a profile knows: "
            "give a profile, or leave the target out"
        )
    if recorded is None:
        return QuantState(graph, imported, {}, config, calibrated=False)
    observed, branches = recorded.matched(graph), assume_branches(graph, recorded.choices_of(graph))
    return QuantState(branches.graph, imported, observed, config, branches=branches)
