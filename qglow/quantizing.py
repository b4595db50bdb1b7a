"""One call of `quantize`: its model and profile, the samples that int8 is judged by, and the searches that begin from
the first quantized graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .errors import ConfigError
from .graph import Array, Graph
from .metrics import Target
from .oracle import Oracle, RememberedOracle
from .profiling import Dataset, Profile, open_dataset, record
from .profiling.dataset import Sample, Stream
from .profiling.samples import kept_dataset
from .quantization import QuantConfig, QuantState, run_passes
from .report.agreement import Agreement, measure
from .report.centring import centre
from .report.judging import (
    CROSS_VALIDATION,
    HELD_BACK,
    MOST,
    SEEN,
    Grounds,
    cross_validate,
    gain_of_samples,
    grounds_of,
    halves,
    left_out,
    noisiest_fold,
)
from .report.layer_bias import LayerBiases
from .report.learned_blocks import LearnedBlocks
from .report.range_choice import choose_ranges, cross_validated, is_better
from .report.search import reach
from .report.target import MixedPrecisionResult, fitting, folds_of
from .report.verdict import worst_db
from .report.widen import GAIN_DB, POOR_DB, may_widen, widen
from .runtime.manifest import Manifest
from .simplify.assume_branches import assume_branches

Data = str | Path | Iterable[Mapping[str, Array]] | Dataset
GIVEN_FOR_CHOICE = 4  # of given samples, where the profile keeps none


class Settled(NamedTuple):
    """What quantization begins with, the result of all passes, what became of it, and the manifest's entries."""

    start: QuantState
    passed: QuantState
    result: QuantState
    chosen: Manifest

    @property
    def percent(self) -> float:
        """By how much wider formats take longer than int8 alone."""
        return float(self.chosen["wider"]["more_time_percent"]) if "wider" in self.chosen else 0.0


class Quantizing:
    """One call of `quantize`: the model, and what is compared with it. oracle: makes that of the model."""

    def __init__(
        self, oracle: Callable[[], Oracle], imported: Graph, graph: Graph, recorded: Profile | None,
        config: QuantConfig, progress: bool,
        target: Target | None = None,
    ) -> None:  # fmt: skip
        self.imported, self.graph, self.recorded, self.config, self.quiet = (
            imported, graph, recorded, config, not progress
        )  # fmt: skip
        self.target, self.has_target = target, config.has_target or target is not None
        self.oracle = cache(lambda: RememberedOracle(oracle()))
        self._range_grounds = cache(lambda: None if recorded is None else cross_validated(recorded, graph))
        self._folds: dict[tuple[str, ...], Profile] = {}  # by the names of the samples
        self._judged: tuple[QuantState, Agreement] | None = None
        self.biases: LayerBiases | None = None
        self.biases_gain = self.ranges_gain = False
        self.offsets: Mapping[str, Array] = {}  # that values lost when they were centred
        self._held: Dataset | None = None  # samples that were given, and come but once

    def start(self, recorded: Profile | None) -> QuantState:
        return start_of(self.imported, self.graph, recorded, self.config, self.has_target)

    def grounds(self, check: Data | bool | None, limit: int | None, all_of_them: bool = False) -> Grounds | None:
        """What to judge by; None where nothing is to be compared. limit: of given samples. all_of_them: with those
        that are chosen by, where nothing was chosen."""
        if check is None or check is False:
            return None
        given = self._held or (None if check is True else open_dataset(check, self.graph).spread(limit))
        found = grounds_of(given, self.recorded, self.graph)
        if found is None or found.how != HELD_BACK or all_of_them:
            return found
        return found.divided()

    def chosen_by(self, start: QuantState, check: Data | bool | None, recorded: Profile | None) -> tuple[Sample, ...]:
        """The samples that biases and formats are chosen by: those that the profile keeps. Where it judges by what it
        held back, every other one of these; where it keeps none, a few of the samples that are given."""
        if start.branches is None or check is None or check is False or recorded is None:
            return ()
        kept = kept_dataset(recorded.held_back or recorded.kept, self.graph)
        if kept is not None and recorded.held_back and check is True:
            kept = halves(kept)[0]
        if kept is None and check is not True:
            kept = open_dataset(check, self.graph).spread(GIVEN_FOR_CHOICE)
        return tuple(fitting(start.branches, kept) or ())

    def centred(self, start: QuantState, samples: tuple[Sample, ...]) -> QuantState:
        """What quantization begins with, the values of its attentions centred. samples: those of `chosen_by`."""
        made, self.offsets = centre(start, samples)
        return made

    def ranged(
        self, start: QuantState, passed: QuantState, samples: tuple[Sample, ...]
    ) -> tuple[QuantState, QuantState]:
        """What quantization begins with, and the result of all passes, by the rule of ranges that is better. samples:
        those of `chosen_by`."""
        if self._validates_ranges(start, samples) is not None:
            return start, passed
        made, passed = choose_ranges(start, passed, run_passes, samples, self.oracle())
        self.config, self.ranges_gain = replace(self.config, calibration=made.config.calibration), made is not start
        return made, passed

    def first(self, start: QuantState, result: QuantState, samples: tuple[Sample, ...]) -> tuple[QuantState, Manifest]:
        """`result` of all passes, with its biases corrected where that gains, and the manifest's entry of it. samples:
        those of `chosen_by`."""
        if not (self.config.correct_bias and self.config.tries) or start.branches is None:
            return result, {}
        self.biases = self.biases or LayerBiases(start.branches.graph, samples, self.quiet)
        made, account = self.biases.where_they_gain(result, self.oracle())
        self.biases_gain = account is not None
        return made, {} if account is None else {"biases": account}

    def rounded(
        self, start: QuantState, result: QuantState, check: Data | bool | None, budget: float | None
    ) -> tuple[QuantState, Manifest]:
        """`result` with block-wise weights that learned their rounding where that gains, and the manifest's entry of
        it."""
        grounds = self.grounds(check, MOST, all_of_them=True) if self.config.learns_rounding else None
        if grounds is None or self.aims(start):
            return result, {}
        graph = start.graph if start.branches is None else start.branches.graph
        if isinstance(grounds.data, Stream):  # NOTE: of an iterator, whose samples come but once
            self._held = open_dataset([s.feeds for s in grounds.data], self.graph)
            grounds = replace(grounds, data=self._held)
        samples = grounds.data if start.branches is None else fitting(start.branches, grounds.data) or ()
        blocks = LearnedBlocks(graph, tuple(samples), grounds.powers, budget, self.quiet)
        learned = blocks.where_they_gain(result, self.oracle())
        if learned is None:
            return result, {}
        self._judged = learned.result, learned.agreement
        return learned.result, {"rounding": learned.account}

    def made(self, start: QuantState, config: QuantConfig) -> QuantState:
        """Quantized with a configuration, and finished."""
        result = run_passes(replace(start, config=config))
        return self.biases.corrected(result) if self.biases is not None and self.biases_gain else result

    def judged(self, grounds: Grounds | None, quantized: Graph, config: QuantConfig) -> Agreement | None:
        """int8 beside float. A small data set is cross-validated, but where the graph itself is broken on samples that
        it was calibrated with already."""
        if grounds is None:
            return None
        if self._judged is not None and self._judged[0].graph is quantized:
            return self._judged[1]
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
            start, corrected = self._without_a_fold(recorded)
            return corrected(run_passes(replace(start, config=config))).graph

        found = cross_validate(grounds, self._profile_of, quantized, self.oracle())
        found.how = grounds.how
        return found

    def _profile_of(self, fold: Dataset) -> Profile:
        names = tuple(name for name, *_ in fold.sources)
        if names not in self._folds:
            self._folds[names] = record(self.graph, fold)
        return self._folds[names]

    def _without_a_fold(self, recorded: Profile) -> tuple[QuantState, Callable[[QuantState], QuantState]]:
        """What begins with the statistics of some folds, and what corrects the biases of a result by their samples."""
        assert self.recorded is not None
        recorded.choices = self.recorded.choices
        start = self.start(recorded)
        if self.offsets:
            start, _ = centre(start, self.chosen_by(start, True, recorded))
        if not self.biases_gain or start.branches is None:
            return start, lambda state: state
        return start, LayerBiases(start.branches.graph, self.chosen_by(start, True, recorded)).corrected

    def widened_out_of_sample(
        self, start: QuantState, result: QuantState, wider: Manifest, check: Data | bool | None
    ) -> tuple[QuantState, Manifest]:
        """The result with more wider formats where cross-validation finds it poor: they are chosen on the fold with
        most noise, by a graph that was calibrated without it. wider: the entry of those that it has."""
        grounds = self.grounds(check, None) if may_widen(self.config) and start.branches is not None else None
        if grounds is None or grounds.how != CROSS_VALIDATION:
            return result, wider
        before = self.judged(grounds, result.graph, result.config)
        assert before is not None
        self._judged = result, before
        if before.how != CROSS_VALIDATION or worst_db(before.outputs) >= POOR_DB:
            return result, wider
        recorded, fold = left_out(grounds, noisiest_fold(before), self._profile_of)
        begin, corrected = self._without_a_fold(recorded)
        samples = tuple(fitting(begin.branches, fold) or ()) if begin.branches is not None else ()
        if not samples or begin.branches is None:
            return result, wider
        spent = wider["wider"]["more_time_percent"] if wider else 0.0
        room = max(0.0, 100 * ((100 + self.config.widen_percent) / (100 + spent) - 1))
        graph = begin.branches.graph
        begin = replace(begin, config=replace(result.config, widen_percent=room))
        made, account = widen(
            graph, corrected(run_passes(begin)), lambda c: run_passes(replace(begin, config=c)),
            corrected, samples, self.oracle(), self.quiet,
        )  # fmt: skip
        if account is None:
            return result, wider
        made = self.made(start, replace(made.config, widen_percent=self.config.widen_percent))
        after = self.judged(grounds, made.graph, made.config)
        assert after is not None
        if gain_of_samples(before, after) < GAIN_DB:
            return result, wider
        self._judged = made, after
        nodes = [*(wider["wider"]["nodes"] if wider else []), *account["nodes"]]
        more = round(100 * ((1 + spent / 100) * (1 + account["more_time_percent"] / 100) - 1), 1)
        return made, {"wider": {**account, "nodes": nodes, "more_time_percent": more}}

    def widened(
        self, start: QuantState, passed: QuantState, result: QuantState, samples: tuple[Sample, ...]
    ) -> tuple[QuantState, Manifest]:
        """The result with wider formats where it is poor, and the manifest's entry of them. samples: those of
        `chosen_by`. passed: the result of all passes; result: with its biases corrected."""
        if not samples or not may_widen(self.config) or start.branches is None:
            return result, {}
        biases = self.biases if self.biases_gain else None
        # NOTE: what has taught biases would find less noise than there is
        judges = samples if biases is None else [biases.samples[k] for k in biases.halves[1]]
        made, account = widen(
            start.branches.graph,
            passed if biases is None else biases.by_half(passed),
            lambda c: run_passes(replace(start, config=c)),
            (lambda state: state) if biases is None else biases.by_half,
            judges,
            self.oracle(),
            self.quiet,
        )
        if account is None:
            return result, {}
        return made if biases is None else biases.settled(made), {"wider": account}

    def widest(
        self, start: QuantState, passed: QuantState, result: QuantState, samples: tuple[Sample, ...],
        check: Data | bool | None,
    ) -> tuple[QuantState, Manifest]:  # fmt: skip
        """The result with the wider formats of both `widened` and `widened_out_of_sample`."""
        result, wider = self.widened(start, passed, result, samples)
        return self.widened_out_of_sample(start, result, wider, check)

    def settled(
        self, start: QuantState, passed: QuantState, samples: tuple[Sample, ...], check: Data | bool | None
    ) -> Settled:
        """What quantization begins with, the result of all passes, and what becomes of it, by the rule of ranges that
        is better: with its biases corrected and, without a target, with wider formats. Of a small data set both rules
        are tried to the end, and cross-validated. passed, samples: as in `widened`."""
        one = self._settled(start, passed, samples, check)
        if (grounds := self._validates_ranges(start, samples)) is None:
            return one
        kept = self.config, self.biases_gain
        try:
            two = self._by_extremes(grounds, one, samples, check)
        except Exception as error:  # NOTE: what is tried must not cost what is there: a fold may lack a branch
            logging.getLogger("qglow").debug("ranges are not tried by minmax: %r", error)
            two = None
        if two is None:
            self.config, self.biases_gain = kept
        return two or one

    def _by_extremes(
        self, grounds: Grounds, one: Settled, samples: tuple[Sample, ...], check: Data | bool | None
    ) -> Settled | None:
        """As `one`, with ranges by `minmax`, and wider formats where that has some; None where it is not better."""
        other = replace(one.start, config=replace(one.start.config, calibration="minmax"))
        passed = run_passes(other)
        if passed.quants == one.passed.quants:
            return None
        before = self._validated_result(grounds, one.result, check)
        judged, self.config = self._judged, other.config
        two = self._settled(other, passed, samples, check, "wider" in one.chosen)
        if is_better(before, self._validated_result(grounds, two.result, check), two.percent - one.percent):
            return two
        self._judged = judged
        return None

    def _settled(
        self, start: QuantState, passed: QuantState, samples: tuple[Sample, ...], check: Data | bool | None,
        widens: bool = True,
    ) -> Settled:  # fmt: skip
        result, chosen = self.first(start, passed, samples)
        if widens and not self.aims(start):
            result, wider = self.widest(start, passed, result, samples, check)
            chosen = {**chosen, **wider}
        return Settled(start, passed, result, chosen)

    def aims(self, start: QuantState) -> bool:
        """Whether a target is searched for."""
        return self.has_target and start.branches is not None

    def _validates_ranges(self, start: QuantState, samples: tuple[Sample, ...]) -> Grounds | None:
        """What the rule of ranges is chosen by in cross-validation; None where it is not. samples: as in `widened`."""
        is_open = start.config.calibration == "auto" and start.config.tries
        return self._range_grounds() if is_open and samples and start.branches is not None else None

    def _validated_result(self, grounds: Grounds, result: QuantState, check: Data | bool | None) -> Agreement:
        """Cross-validation of a result, which judges it too where the bundle is to be judged so."""
        judges = self.grounds(check, None)
        if judges is None or judges.how != CROSS_VALIDATION:
            return self._validated(grounds, result.config)
        found = self.judged(judges, result.graph, result.config)
        assert found is not None
        self._judged = result, found
        return found if found.how == CROSS_VALIDATION else self._validated(grounds, result.config)

    def reach(
        self, start: QuantState, passed: QuantState, result: QuantState, samples: tuple[Sample, ...],
        check: Data | bool | None, budget: float | None,
    ) -> MixedPrecisionResult:  # fmt: skip
        """The configuration's target. passed, samples: as in `widened`."""
        assert start.branches is not None
        grounds = self.grounds(check, None)
        if grounds is not None:
            data, chosen_by = (fitting(start.branches, d) for d in (grounds.data, grounds.chosen_by))
            grounds = replace(grounds, data=data, chosen_by=chosen_by) if data is not None else None
        folds = folds_of(
            grounds, self.oracle(), self.config,
            lambda c: self._validated(grounds, c) if grounds is not None else Agreement(), self.quiet,
            self.target,
        )  # fmt: skip
        return reach(
            start.branches.graph, result, lambda c: self.made(start, c), folds, budget, self.quiet,
            lambda: self.widest(start, passed, result, samples, check)[0],
        )  # fmt: skip


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
