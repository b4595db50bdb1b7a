"""An accuracy target: layers are kept float, the most damaging first, until int8 is as good as was asked.

Roundings add noise at the outputs nearly independently, so their sensitivities (sensitivity.py) add up. The layers of
the worst ones are kept float until what is left should meet the target; then the graph is quantized so and measured,
and what was predicted is scaled to it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import AccuracyError, ConfigError
from ..graph import Array, Graph
from ..oracle import Oracle
from ..profiling.dataset import Dataset, Sample
from ..quantization import QuantConfig, QuantState
from ..runtime import Bundle, InferenceSession
from ..simplify.assume_branches import AssumedBranches
from ..words import counted, points_lost
from .agreement import Agreement, compare_outputs
from .comparison import MOST_DB, Comparison
from .sensitivity import Sensitivity, find_sensitivities
from .top1 import Top1Agreement, is_choice
from .verdict import complaints, worst_db

SECONDS, SAMPLES = 30.0, 16


@dataclass(frozen=True, slots=True)
class Score:
    """outputs: compared with float, by name. drop: of top-1 accuracy below float, in points, where labels are known;
    ms: of one sample."""

    outputs: Mapping[str, Comparison]
    drop: float | None
    ms: float

    @property
    def noise(self) -> Array:
        """Over signal, of every output."""
        return np.array([o.noise_share for o in self.outputs.values()])

    @property
    def sqnr_db(self) -> float:
        """Of the worst output."""
        return worst_db(self.outputs)

    def meets(self, config: QuantConfig) -> bool:
        """By the verdict that `quantize` and reports share (verdict.py); an accuracy target alone allows any noise but
        NaN."""
        floor = config.min_sqnr_db if config.min_sqnr_db is not None else -MOST_DB
        if complaints(self.outputs, floor):
            return False
        return config.max_accuracy_drop is None or self.drop is None or self.drop <= config.max_accuracy_drop

    def to_dict(self) -> dict[str, float | None]:
        return {
            "sqnr_db": round(self.sqnr_db, 2),
            "accuracy_drop": None if self.drop is None else round(self.drop, 3),
            "ms": round(self.ms, 4),
        }


@dataclass(frozen=True, slots=True)
class MixedPrecisionResult:
    """The result that meets the target, or the best there is (met False), and the account of it for the manifest."""

    result: QuantState
    met: bool
    account: dict[str, Any]


def fitting(branches: AssumedBranches, data: Dataset | None) -> Dataset | None:
    """The samples that go this way; None where there are none. A stream is left as it is."""
    if data is None or not branches.assumed or not data.sources:
        return data
    pairs = zip(data.sources, data, strict=True)
    sources = tuple(source for source, sample in pairs if branches.holds(sample.feeds))
    return Dataset(sources, data.types) if sources else None


def reach(
    graph: Graph, first: QuantState, quantized: Callable[[QuantConfig], QuantState], data: Dataset | None,
    oracle: Oracle,
    quiet: bool = True,
) -> MixedPrecisionResult:  # fmt: skip
    """Keep layers of `first` float until the target of its configuration is met on `data`, against the float outputs of
    `oracle`.

    graph: the float one. quantized: quantizes it with another configuration. Raises ConfigError where there are no
    samples, or no labels needed.
    """
    if data is None:
        raise ConfigError(
            "an accuracy target needs samples, and the profile keeps none that fit: give --data, or profile again"
        )
    config, result = first.config, first
    judge = _Judge(oracle, data, config)
    before = score = judge.score(result.graph)
    taken: list[Sensitivity] = []
    causes: list[Sensitivity] = []
    if not score.meets(config):
        found = find_sensitivities(graph, result.graph, config, judge.few(), SECONDS, quiet)
        causes = sorted(
            (c for c in found if c.noise.max(initial=0.0) > 0), key=lambda c: -float(c.noise.max(initial=0.0))
        )

    def without(causes: list[Sensitivity]) -> tuple[QuantState, Score]:
        names = tuple(dict.fromkeys(n for c in causes for n in c.nodes))
        made = quantized(replace(config, exclude=(*config.exclude, *names)))
        return made, judge.score(made.graph)

    while causes and not score.meets(config):
        chosen = _next(causes, score, config)
        taken += chosen
        causes = [c for c in causes if all(c is not k for k in chosen)]
        result, score = without(taken)
    taken.sort(key=lambda c: -float(c.noise.max()))
    give_back = len(taken) // 2
    # NOTE: predictions err on the safe side: the least of what was taken may not be needed
    while give_back and score.meets(config):
        fewer, worse = without(taken[:-give_back])
        if worse.meets(config):
            taken, result, score = taken[:-give_back], fewer, worse
        give_back = min(give_back // 2, len(taken) - 1)
    return MixedPrecisionResult(result, score.meets(config), _account(graph, config, taken, before, score))


def _account(
    graph: Graph, config: QuantConfig, taken: list[Sensitivity], before: Score, after: Score
) -> dict[str, Any]:
    kept = {n: c.what for c in reversed(taken) for n in c.nodes}
    return {
        "min_sqnr_db": config.min_sqnr_db, "max_accuracy_drop": config.max_accuracy_drop, "met": after.meets(config),
        "int8": before.to_dict(), "reached": after.to_dict(),
        "kept_float": [{"node": n.name, "op": n.operator,
        "because": kept[n.name]} for n in graph.nodes if n.name in kept],
    }  # fmt: skip


def missed(reached: MixedPrecisionResult) -> AccuracyError:
    """What to raise where the target is not met."""
    a = reached.account
    wanted = [] if a["min_sqnr_db"] is None else [f"{a['min_sqnr_db']:g} dB"]
    wanted += [] if a["max_accuracy_drop"] is None else [f"a drop of at most {a['max_accuracy_drop']:g} points"]
    drop = a["reached"]["accuracy_drop"]
    got = f"{a['reached']['sqnr_db']:g} dB" + (f", {points_lost(drop)}" if drop is not None else "")
    return AccuracyError(
        f"accuracy target missed: wanted {' and '.join(wanted)}, reached {got} with "
        f"{counted(len(a['kept_float']), 'node')} kept float"
    )


def _next(causes: list[Sensitivity], score: Score, config: QuantConfig) -> list[Sensitivity]:
    """Causes to take away next: until what is left, scaled to what was measured, is at the target; where that is one of
    accuracy, or already met by the prediction, until a quarter of the noise is gone."""
    left = np.sum([c.noise for c in causes], axis=0)
    scale = score.noise / np.maximum(left, 1e-300)
    enough = config.min_sqnr_db is None or score.sqnr_db >= config.min_sqnr_db
    goal = 0.75 * score.noise if enough else np.full(left.shape, 10 ** (-(config.min_sqnr_db or 0.0) / 10))
    chosen: list[Sensitivity] = []
    rest = list(causes)
    while rest and (not chosen or (scale * left > goal).any()):
        worst = int(np.argmax(scale * left / np.maximum(goal, 1e-300)))
        cause = max(rest, key=lambda c: float(c.noise[worst]))
        rest = [c for c in rest if c is not cause]
        chosen.append(cause)
        left = np.maximum(left - cause.noise, 0.0)
    return chosen


class _Judge:
    """Scores quantized graphs against the float one on the same samples; keeps the float outputs alone in memory."""

    def __init__(self, oracle: Oracle, data: Dataset, config: QuantConfig) -> None:
        by_label = config.max_accuracy_drop is not None
        # NOTE: a stream may be read only once
        self.data: Iterable[Sample] = data if by_label else tuple(data.spread(SAMPLES))
        self.real: list[dict[str, Any]] = []
        self.labels: list[int | None] = []
        for sample in self.data:
            self.real.append(oracle.outputs(sample.feeds))
            self.labels.append(sample.label)
        if by_label and not any(label is not None for label in self.labels):
            raise ConfigError("max_accuracy_drop needs samples with labels: give --data, a folder with labels.csv")
        self.voter = next((n for n, a in self.real[0].items() if is_choice(a)), None)
        if by_label and self.voter is None:
            raise ConfigError("max_accuracy_drop needs an output of one score a class; use min_sqnr_db for this model")

    def few(self) -> Iterable[Sample]:
        return self.data.spread(SAMPLES) if isinstance(self.data, Dataset) else self.data

    def score(self, quantized: Graph) -> Score:
        session = InferenceSession(Bundle(quantized))
        found, votes, times = Agreement(), Top1Agreement(), []
        for sample, real, label in zip(self.data, self.real, self.labels, strict=True):
            start = time.perf_counter()
            outputs = session.run(None, sample.feeds)
            times.append(time.perf_counter() - start)
            made = dict(zip(quantized.outputs, outputs, strict=True))
            compare_outputs(found, real, quantized, made)
            if self.voter is not None:
                votes.add(real[self.voter], made[self.voter], label)
        return Score(found.outputs, votes.drop, 1e3 * statistics.median(times[1:] or times))
