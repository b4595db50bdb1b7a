"""An accuracy target: what meets it, the samples that layers are chosen by and those that the choice is judged by, and
the account of it. The search for the layers is in search.py.

Layers are chosen on one fold of the samples and judged on another, whose figures the account gives. The samples of a
small data set, all of which calibrate, are all chosen by, and the choice is judged by cross-validation (judging.py).
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arguments import shown
from ..errors import AccuracyError, ConfigError
from ..graph import Array, Graph
from ..metrics import Target
from ..oracle import Oracle
from ..profiling.dataset import Dataset, Sample, open_dataset, spread_indices
from ..progress import track
from ..quantization import QuantConfig, QuantState
from ..runtime import Bundle, InferenceSession
from ..simplify.assume_branches import AssumedBranches
from ..words import counted, points, points_lost
from .agreement import Agreement, compare_outputs
from .comparison import MOST_DB, interval_db, worst_sample
from .interval import worse_share
from .judging import CROSS_VALIDATION, SEEN, Grounds, halves
from .scores import TargetScore, score_of, scores_said
from .top1 import Top1Agreement, is_choice
from .verdict import complaints, worst_db

SAMPLES = 16  # of a fold, where no labels are counted
FEW = 6  # samples: the range of fewer does not hold the median with a probability of 0.95 (interval.py)
WORSE = 0.2  # of new samples may be worse than the worst: 14 samples say so


@dataclass(frozen=True, slots=True)
class Score:
    """found: compared with float. drop: of top-1 accuracy below float, in points, where labels are known; ms: of one
    sample, 0 where it was not timed; metric: of a target that is one. unseen: whether calibration did not see the
    samples."""

    found: Agreement
    drop: float | None = None
    ms: float = 0.0
    metric: TargetScore | None = None
    unseen: bool = True

    @property
    def noise(self) -> Array:
        """Over signal, of every output."""
        return np.array([o.noise_share for o in self.found.outputs.values()])

    @property
    def sqnr_db(self) -> float:
        """Of the worst output."""
        return worst_db(self.found.outputs)

    def meets(self, config: QuantConfig, floor_db: float | None = None) -> bool:
        """Whether no output has a fault, the worst one reaches floor_db (None: that of the target), and accuracy and
        the metric drop no further than they may. An accuracy target alone allows any noise but NaN."""
        floor = floor_db if floor_db is not None else config.min_sqnr_db if config.min_sqnr_db is not None else -MOST_DB
        if complaints(self.found.outputs, -MOST_DB) or self.sqnr_db < floor:
            return False
        if self.metric is not None and not self.metric.drop <= self.metric.max_drop:
            return False
        return config.max_accuracy_drop is None or self.drop is None or self.drop <= config.max_accuracy_drop

    @property
    def interval_db(self) -> tuple[float, float]:
        """Of the output whose lower end is the lowest."""
        return min((interval_db(o) for o in self.found.outputs.values()), default=(MOST_DB, MOST_DB))

    def is_likely(self, config: QuantConfig) -> bool:
        """Whether the lower end of the interval reaches the ratio that is asked for, where the samples are enough for
        one and calibration did not see them."""
        few = not self.unseen or self.found.samples < FEW
        return config.min_sqnr_db is None or few or self.low_db >= config.min_sqnr_db

    def is_sure(self, config: QuantConfig) -> bool:
        """Whether the worst sample reaches it too, of so many that few new ones are worse (`worse_share`), and none of
        which calibration saw. NOTE: noise is that of rare samples, and no interval knows of those that did not come."""
        found = (worst_sample(o) for o in self.found.outputs.values())
        worst = min((w[0] for w in found if w is not None), default=MOST_DB)
        few = not self.unseen or worse_share(self.found.samples) > WORSE
        return config.min_sqnr_db is None or (self.is_likely(config) and worst >= config.min_sqnr_db and not few)

    @property
    def low_db(self) -> float:
        """The lower end of the interval."""
        return self.interval_db[0]

    def to_dict(self) -> dict[str, Any]:
        low, high = self.interval_db
        metric = {} if self.metric is None else {"metric": self.metric.to_dict()}
        return metric | {
            "sqnr_db": round(self.sqnr_db, 2),
            "low_db": round(low, 2),
            "high_db": round(high, 2),
            "samples": self.found.samples,
            "accuracy_drop": None if self.drop is None else round(self.drop, 3),
            "ms": round(self.ms, 4),
        }


@dataclass(frozen=True, slots=True)
class MixedPrecisionResult:
    """The result that meets the target, or the best there is (met False), how it was judged, and the account of it for
    the manifest."""

    result: QuantState
    met: bool
    judged: Score
    account: dict[str, Any]


def fitting(branches: AssumedBranches, data: Dataset | None) -> Dataset | None:
    """The samples that go this way; None where there are none. A stream is left as it is."""
    if data is None or not branches.assumed or not data.sources:
        return data
    pairs = zip(data.sources, data, strict=True)
    sources = tuple(source for source, sample in pairs if branches.holds(sample.feeds))
    return Dataset(sources, data.types) if sources else None


def labelled(check: Any, target: Target, config: QuantConfig, graph: Graph) -> Dataset:
    """The samples that a metric is judged on, each labelled by its place among the metric's labels. check: as
    `quantize` takes it. Raises ConfigError, DataError where these cannot go together."""
    if not isinstance(target, Target):
        raise ConfigError(f"target must be a qglow.metrics.Target, got {shown(target)}")
    if check is None or isinstance(check, bool):
        raise ConfigError("a metric needs the samples that its labels belong to: give check=samples")
    if config.max_accuracy_drop is not None:
        raise ConfigError("a metric takes the place of max_accuracy_drop: give one of them (qglow.metrics.top_k)")
    return open_dataset(check, graph).labelled(range(len(target.labels)))


@dataclass(frozen=True, slots=True)
class Folds:
    """chosen_by: scores a graph on the samples that layers are chosen by. judge: scores a result on samples that took
    no part in choosing it; how: which these are."""

    chosen_by: FoldScorer
    judge: Callable[[QuantState], Score]
    how: str


def folds_of(
    grounds: Grounds | None, oracle: Oracle, config: QuantConfig, validated: Callable[[QuantConfig], Agreement],
    quiet: bool = True, target: Target | None = None,
) -> Folds:  # fmt: skip
    """What a target is chosen and judged by. validated: cross-validation of a configuration. target: a metric; the
    samples are labelled by their places among its labels. Raises ConfigError where there are no samples, or no labels
    that are needed."""
    if grounds is None:
        raise ConfigError(
            "an accuracy target needs samples, and the profile keeps none that fit: give --data, or profile again"
        )
    by_label = config.max_accuracy_drop is not None or target is not None
    if grounds.how == CROSS_VALIDATION and not by_label:
        scorer = FoldScorer(grounds.data.spread(SAMPLES), grounds, oracle, config, quiet)
        return Folds(scorer, lambda result: Score(validated(result.config)), grounds.how)
    first, second = _halves(grounds, None if by_label else 2 * SAMPLES)
    scorer = FoldScorer(first, grounds, oracle, config, quiet, target)
    judge = FoldScorer(second, grounds, oracle, config, quiet, target)
    unseen = grounds.how != SEEN
    return Folds(scorer, lambda result: replace(judge.score(result.graph), unseen=unseen), f"half of the {grounds.how}")


def _halves(grounds: Grounds, most: int | None) -> tuple[Iterable[Sample], Iterable[Sample]]:
    """The samples to choose by, and those that judge. most: in both together."""
    if grounds.chosen_by is not None:
        return grounds.chosen_by, grounds.data
    data = grounds.data.spread(most)
    if not data.sources:  # NOTE: a stream may be read only once
        samples = tuple(data)
        return samples[::2], samples[1::2] or samples
    return halves(data)


class FoldScorer:
    """Scores quantized graphs against the float one on the same samples; keeps the float outputs alone in memory, and
    for a metric those of one quantized graph."""

    def __init__(
        self, data: Iterable[Sample], grounds: Grounds, oracle: Oracle, config: QuantConfig, quiet: bool = True,
        target: Target | None = None,
    ) -> None:  # fmt: skip
        self.data, self._powers, self._quiet = data, grounds.powers, quiet
        self.real: list[dict[str, Any]] = []
        self.labels: list[int | None] = []
        places: list[int] = []
        for sample in data:
            self.real.append(oracle.outputs(sample.feeds))
            self.labels.append(sample.label if target is None else None)
            places.append(sample.label or 0)
        self._metric = None if target is None else _TargetScorer(target, self.real, places)
        by_label = config.max_accuracy_drop is not None
        if by_label and not any(label is not None for label in self.labels):
            raise ConfigError("max_accuracy_drop needs samples with labels: give --data, a folder with labels.csv")
        self.voter = next((n for n, a in self.real[0].items() if is_choice(a)), None)
        if by_label and self.voter is None:
            raise ConfigError("max_accuracy_drop needs an output of one score a class; use min_sqnr_db for this model")

    def few(self) -> Iterable[Sample]:
        """Some of the samples, evenly spread."""
        wanted = {*spread_indices(len(self.real), SAMPLES)}
        return (s for k, s in enumerate(self.data) if k in wanted)

    def score(self, quantized: Graph, what: str = "comparing with float") -> Score:
        session = InferenceSession(Bundle(quantized))
        found, votes, times, kept = Agreement(), Top1Agreement(), [], list[dict[str, Any]]()
        samples = track(self.data, what, len(self.real), self._quiet)
        for sample, real, label in zip(samples, self.real, self.labels, strict=True):
            start = time.perf_counter()
            outputs = session.run(None, sample.feeds)
            times.append(time.perf_counter() - start)
            made = dict(zip(quantized.outputs, outputs, strict=True))
            compare_outputs(found, real, quantized, made, sample.name, self._powers)
            if self.voter is not None:
                votes.add(real[self.voter], made[self.voter], label)
            if self._metric is not None:
                kept.append(made)
        metric = None if self._metric is None else self._metric.score(kept)
        return Score(found, votes.drop, 1e3 * statistics.median(times[1:] or times), metric)


class _TargetScorer:
    """A target's metric over the samples of a fold. places: of their labels among the target's."""

    def __init__(self, target: Target, real: list[dict[str, Any]], places: list[int]) -> None:
        self.target, self.labels = target, [target.labels[k] for k in places]
        self.fp32 = score_of(target.name, target.metric, real, self.labels)
        if not math.isfinite(self.fp32):
            raise ConfigError(f"metric {target.name!r} gave {self.fp32} of float")

    def score(self, made: list[dict[str, Any]]) -> TargetScore:
        """What is not finite is as bad as can be."""
        int8 = score_of(self.target.name, self.target.metric, made, self.labels)
        drop = int8 - self.fp32 if self.target.smaller_is_better else self.fp32 - int8
        return TargetScore(
            self.target.name, self.fp32, int8, drop if math.isfinite(int8) else math.inf, self.target.max_drop
        )


def missed(reached: MixedPrecisionResult) -> AccuracyError:
    """What to raise where the target is not met."""
    a = reached.account
    wanted = [] if a["min_sqnr_db"] is None else [f"{a['min_sqnr_db']:g} dB"]
    wanted += [] if a["max_accuracy_drop"] is None else [f"a drop of at most {points(a['max_accuracy_drop'])}"]
    metric, reached_metric = a.get("metric"), a["reached"].get("metric")
    wanted += [] if metric is None else [f"{metric['name']} at most {metric['max_drop']:g} worse than float"]
    drop = a["reached"]["accuracy_drop"]
    got = f"{a['reached']['sqnr_db']:g} dB" + (f", {points_lost(drop)}" if drop is not None else "")
    got += "" if metric is None else f", {metric['name']} {scores_said(reached_metric)}"
    kept = counted(len(a["kept_float"]), "node")
    over = f"on {counted(a['reached']['samples'], 'sample')} of the {a['judged_on']}"
    if a["nothing_quantized"]:
        return AccuracyError(
            f"accuracy target missed: wanted {' and '.join(wanted)} of a quantized model; {got} {over} takes all nodes "
            "in float, which is the float model itself"
        )
    stopped = f" when the time was over, after {counted(a['trials'], 'trial')}" if a["out_of_time"] else ""
    return AccuracyError(
        f"accuracy target missed: wanted {' and '.join(wanted)}, reached {got} with {kept} kept float {over}{stopped}"
    )
