"""The search for the nodes that must not be 8 bits so that an accuracy target is met.

int8 throughout is judged first, then the formats that `quantize` chooses by default (widen.py), from which the search
begins. Roundings add noise at the outputs nearly independently, so their sensitivities (sensitivity.py) add up:
1. Those with most noise for the time that a wider format takes longer (format_time.py) are avoided until what is left
   should reach the goal: a value becomes int16, and a product whose weights are the noise float. No clock decides that:
   a busy machine makes the same bundle. The graph is quantized so and scored on the samples that are chosen by; what
   was predicted is scaled to that. Again, until the goal is reached.
2. Parts of what was taken are given back as long as the goal is reached, smaller and smaller ones, up to GIVEN_BACK
   trials.
3. Where int16 puts nodes on the host, and float for the same roundings does not, it replaces int16.
4. Where int16 for all values does not reach the goal, values become float.
5. The choice is judged on other samples. Where it misses the target there, or where the samples are too few to tell, so
   that the lower end of their interval is below it, the goal is raised by what is missing.

A trial that fails is left out. What is judged best is kept, whenever the time is over: what meets the target with the
whole interval before what may.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arguments import number_of, shown
from ..errors import ConfigError
from ..graph import Array, Graph
from ..graph.blocks import Precision
from ..quantization import QuantConfig, QuantState
from ..runtime.step_profile import host_nodes
from ..words import counted
from .format_time import PRICES, seconds_by_node, sizes
from .sensitivity import Sensitivity, find_sensitivities
from .target import Folds, MixedPrecisionResult, Score

SECONDS, ROUNDS = 30.0, 12
GIVEN_BACK = 24  # trials without a part of what was taken
LEAST = 0.002  # of the noise of an output: less is not worth a wider value while there is more
MARGIN_DB, FURTHER_DB = 0.5, 3.0  # by which a goal rises at least and at most, that of a target of accuracy always


@dataclass(slots=True)
class Trial:
    """A result, scored on the samples that are chosen by, and on the others where it was judged. taken: the roundings
    that it avoids, beside those that the search began without; wide: by int16 where they are of values."""

    result: QuantState
    score: Score
    taken: tuple[Sensitivity, ...] = ()
    wide: bool = False
    judged: Score | None = None

    @property
    def counts(self) -> Counter[str]:
        """Nodes by precision."""
        return Counter(str(d.precision) for d in self.result.decisions)


def reach(
    graph: Graph, first: QuantState, quantized: Callable[[QuantConfig], QuantState], folds: Folds,
    budget: float | None = None, quiet: bool = True, widened: Callable[[], QuantState] | None = None,
) -> MixedPrecisionResult:  # fmt: skip
    """Make values of `first` int16, or keep layers float, until the target of its configuration is met.

    graph: the float one. quantized: quantizes it with another configuration. budget: seconds after which no further
    trial is begun; None: as many as it takes, whatever the clock says. widened: `first` with wider formats, or itself.
    """
    return _Search(graph, first, quantized, folds, budget, quiet).run(widened)


def seconds_of(budget: object) -> float | None:
    """Seconds of a search. Raises ConfigError for what is not above 0."""
    seconds = None if budget is None else number_of(budget, "budget")
    if seconds is not None and seconds <= 0:
        raise ConfigError(f"budget must be seconds above 0, got {shown(budget)}")
    return seconds


class _Search:
    def __init__(
        self, graph: Graph, first: QuantState, quantized: Callable[[QuantConfig], QuantState], folds: Folds,
        budget: float | None, quiet: bool,
    ) -> None:  # fmt: skip
        self.graph, self.config, self.quantized, self.folds, self.quiet = graph, first.config, quantized, folds, quiet
        self.begins, self.budget, self.stopped = time.monotonic(), budget, False
        self.failed: list[str] = []
        start = Trial(first, folds.chosen_by.score(first.graph, "scoring int8 throughout"))
        self.trials, self.base = [start], start
        self.causes: list[Sensitivity] = []
        self.times: Mapping[Precision, Mapping[str, float]] = {}  # of the nodes in each format, and as they are now
        self.now: Mapping[str, float] = {}

    def is_over(self, part: float = 1.0) -> bool:
        """Whether a part of the time is; asked where more would be done, which the end of the time stops."""
        over = self.budget is not None and time.monotonic() >= self.begins + part * self.budget
        self.stopped |= over and part == 1.0
        return over

    def run(self, widened: Callable[[], QuantState] | None) -> MixedPrecisionResult:
        if not self._judge(self.base) and not self.is_over() and not (widened and self._begin_with(widened)):
            if not self.is_over():
                self._find_causes()
            for wide in (True, False) if self.config.activations != "int16" else (False,):
                if self.causes and self._search(wide):
                    break
        return self._told(max(self.trials, key=self._rank))

    def _begin_with(self, widened: Callable[[], QuantState]) -> bool:
        """Begin with a result of wider formats, where it is better than int8 throughout; whether that is enough."""
        try:
            result = widened()
        except Exception as error:
            self._note(error)
            return False
        if result is self.base.result:
            return False
        trial = Trial(result, self.folds.chosen_by.score(result.graph, "scoring wider formats"))
        self.trials.append(trial)
        enough = self._judge(trial)
        if self._rank(trial) > self._rank(self.base):
            self.base = trial
        return enough

    def _find_causes(self) -> None:
        found = find_sensitivities(
            self.graph, self.base.result.graph, self.config, self.folds.chosen_by.few(), SECONDS, self.quiet,
            lambda: self.is_over(0.4),
        )  # fmt: skip
        self.causes = [c for c in found if c.noise.max(initial=0.0) > 0]
        try:
            known: Mapping[str, Array] = sizes(self.graph, next(iter(self.folds.chosen_by.few())).feeds)
            self.times = {p: seconds_by_node(self.graph, known, price) for p, price in PRICES.items()}
            decisions = self.base.result.decisions
            self.now = {d.node: self.times[d.precision][d.node] for d in decisions if d.precision in self.times}
        except Exception as error:  # NOTE: without sizes every node takes the same time
            self._note(error)

    def _search(self, wide: bool) -> bool:
        """Whether a mix meets the target. wide: of int16, else of float."""
        last, goal = self.base, self.config.min_sqnr_db
        for _ in range(ROUNDS):
            if self._judge(last):
                return True
            if len(last.taken) == len(self.causes) or self.is_over():
                break
            if last.taken and last.judged is not None:
                goal = self._raised(goal, last.score, last.judged)
            reached = self._choose(last, goal, wide)
            if reached is None:
                break
            last = reached
        return self._judge(last)

    def _seconds(self, cause: Sensitivity, wide: bool) -> float:
        """That the nodes of a cause take longer in the wider format than where the search began."""
        wider = self.times.get("int16" if wide and cause.value else "float", {})
        return 1e-9 + sum(max(0.0, wider[n] - self.now[n]) for n in cause.nodes if n in wider and n in self.now)

    def _raised(self, goal: float | None, score: Score, judged: Score) -> float:
        """The ratio to reach on the samples that are chosen by, where the target was missed on the others."""
        missing = FURTHER_DB if self.config.min_sqnr_db is None else self.config.min_sqnr_db - judged.low_db
        return max(score.sqnr_db, goal if goal is not None else -np.inf) + min(FURTHER_DB, max(MARGIN_DB, missing))

    def _rank(self, trial: Trial) -> tuple[bool, bool, float, float]:
        """Order of trials: those that meet the target where they are judged with the whole interval, those that meet
        it, then by how near they come to it."""
        if trial.judged is None:
            return False, False, -np.inf, 0.0
        drop = trial.judged.drop if self.config.max_accuracy_drop is not None else None
        drop = trial.judged.metric.drop if trial.judged.metric is not None else drop
        meets = trial.judged.meets(self.config) and (_inside(trial) > 0 or trial is self.trials[0])
        likely = meets and trial.judged.is_likely(self.config)
        return likely, meets, -(drop or 0.0), trial.judged.low_db

    def _choose(self, last: Trial, goal: float | None, wide: bool) -> Trial | None:
        """A further trial that reaches the goal on the samples that are chosen by; the last one that could be made,
        None where none could."""
        made, before = None, len(last.taken)
        while len(last.taken) < len(self.causes) and not self.is_over():
            rest = [c for c in self.causes if all(c is not t for t in last.taken)]
            taken = (*last.taken, *_next(rest, last.score, goal, lambda c: self._seconds(c, wide)))
            trial = self._try(taken, wide)
            last = made = trial if trial is not None else replace(last, taken=taken)
            if trial is not None and trial.score.meets(self.config, goal):
                return self._without_host(self._fewer(trial, goal, before), goal)
        return made

    def _fewer(self, trial: Trial, goal: float | None, before: int) -> Trial:
        """What was taken since the first `before`, without parts of it that are not needed: halves, then quarters and
        so on, those with least noise for their time first. Predictions err: often a few roundings make the noise that
        was missed, and others were taken in their place."""
        kept, tries = trial.taken[:before], GIVEN_BACK
        ordered = sorted(trial.taken[before:], key=lambda c: -float(c.noise.max()) / self._seconds(c, trial.wide))
        size = len(ordered) // 2
        while size:
            for end in range(len(ordered), 0, -size):
                rest = [*ordered[: max(0, end - size)], *ordered[end:]]
                if tries == 0 or not rest or self.is_over():
                    return trial
                tries -= 1
                fewer = self._try((*kept, *rest), trial.wide)
                if fewer is not None and fewer.score.meets(self.config, goal):
                    trial, ordered = fewer, rest
            size //= 2
        return trial

    def _without_host(self, trial: Trial, goal: float | None) -> Trial:
        """The same roundings avoided by float where rule 3 says so."""
        on_host = host_nodes(trial.result.graph)
        if not trial.wide or not on_host - host_nodes(self.base.result.graph) or self.is_over():
            return trial
        floats = self._try(trial.taken)
        if floats is None or not floats.score.meets(self.config, goal):
            return trial
        return floats if host_nodes(floats.result.graph).total() < on_host.total() else trial

    def _try(self, taken: tuple[Sensitivity, ...], wide: bool = False) -> Trial | None:
        """Quantized without these roundings, and scored; None where that fails."""
        widened = [c.value for c in taken if wide and c.value]
        nodes = dict.fromkeys(n for c in taken if not (wide and c.value) for n in c.nodes)
        begin = self.base.result.config
        config = replace(begin, exclude=(*begin.exclude, *nodes), int16=(*begin.int16, *widened))
        said = f"trial {len(self.trials)}, {counted(len(nodes), 'node')} float, best {self._best_db():.1f} dB"
        try:
            result = self.quantized(config)
            trial = Trial(result, self.folds.chosen_by.score(result.graph, said), taken, wide)
        except Exception as error:  # NOTE: one mix that cannot be made or run must not cost the others
            self._note(error)
            return None
        self.trials.append(trial)
        return trial

    def _judge(self, trial: Trial) -> bool:
        """Whether the trial meets the target on the samples that it is judged by, and, where they may tell, with the
        lower end of their interval."""
        if trial.judged is None:
            try:
                trial.judged = self.folds.judge(trial.result)
            except Exception as error:
                if trial is self.trials[0]:
                    raise
                self._note(error)
        judged = trial.judged
        return judged is not None and judged.meets(self.config) and judged.is_likely(self.config)

    def _note(self, error: Exception) -> None:
        logging.getLogger("qglow").debug("a trial of the search failed: %r", error)
        self.failed.append(f"{type(error).__name__}: {error}"[:200])

    def _best_db(self) -> float:
        return max(t.score.sqnr_db for t in self.trials)

    def _told(self, best: Trial) -> MixedPrecisionResult:
        judged, start = best.judged, self.trials[0]
        assert judged is not None and start.judged is not None
        inside, config = _inside(best), best.result.config
        met = judged.meets(self.config) and (inside > 0 or best is start)
        causes = {n: c.what for c in reversed(best.taken) if not (best.wide and c.value) for n in c.nodes}
        was = {d.node: d.precision for d in start.result.decisions}
        # NOTE: what a rounding was taken for is float, or was float before
        kept = {d.node: "the noise of its roundings" for d in best.result.decisions
                if d.precision == "float" and was.get(d.node) != "float"} | causes  # fmt: skip
        account: dict[str, Any] = {
            "min_sqnr_db": self.config.min_sqnr_db,
            "max_accuracy_drop": self.config.max_accuracy_drop,
            **({"metric": {"name": judged.metric.name, "max_drop": judged.metric.max_drop}} if judged.metric else {}),
            "met": met,
            "sure": met and judged.is_sure(self.config),
            "judged_on": self.folds.how,
            "int8": start.judged.to_dict() | {"ms": round(start.score.ms, 4)},
            "reached": judged.to_dict() | {"ms": round(best.score.ms, 4)},
            "chosen_by": {"samples": best.score.found.samples, "sqnr_db": round(best.score.sqnr_db, 2)},
            "kept_float": [
                {"node": n.name, "op": n.operator, "because": kept[n.name]} for n in self.graph.nodes if n.name in kept
            ],
            "int16": [v for v in config.int16 if v not in self.config.int16],
            "nothing_quantized": not inside,
            "trials": len(self.trials),
            "failed": self.failed[:8],
            "out_of_time": self.stopped,
            "front": front_of(self.trials),
        }
        return MixedPrecisionResult(best.result, met, judged, account)


def _inside(trial: Trial) -> int:
    """How many nodes are not float."""
    return trial.counts.total() - trial.counts["float"]


def front_of(trials: Sequence[Trial]) -> list[dict[str, float]]:
    """The trials that no other one beats in both ratio and time, the fastest first: sqnr_db on the samples that are
    chosen by, ms of a sample, nodes that are float and int16."""
    rows = [
        {
            "sqnr_db": round(t.score.sqnr_db, 2), "ms": round(t.score.ms, 4), "float_nodes": t.counts["float"],
            "int16_nodes": t.counts["int16"],
        }
        for t in trials
    ]  # fmt: skip
    found: list[dict[str, float]] = []
    for row in sorted(rows, key=lambda r: (r["ms"], -r["sqnr_db"])):
        if not found or row["sqnr_db"] > found[-1]["sqnr_db"]:
            found.append(row)
    return found


def _next(
    causes: list[Sensitivity], score: Score, goal_db: float | None, seconds: Callable[[Sensitivity], float]
) -> list[Sensitivity]:
    """Causes to take away next, those with most noise for their time first: until what is left, scaled to what was
    measured, is at the goal (27); where that is one of accuracy, or already met by the prediction, until a quarter of
    the noise is gone."""
    left = np.sum([c.noise for c in causes], axis=0)
    scale = score.noise / np.maximum(left, 1e-300)
    enough = goal_db is None or score.sqnr_db >= goal_db
    goal = 0.75 * score.noise if enough else np.full(left.shape, 10 ** (-(goal_db or 0.0) / 10))
    chosen: list[Sensitivity] = []
    rest = list(causes)
    while rest and (not chosen or (scale * left > goal).any()):
        worst = int(np.argmax(scale * left / np.maximum(goal, 1e-300)))
        least = LEAST * float(left[worst])
        cause = max(rest, key=lambda c: (float(c.noise[worst]) > least, float(c.noise[worst]) / seconds(c)))
        rest = [c for c in rest if c is not cause]
        chosen.append(cause)
        left = np.maximum(left - cause.noise, 0.0)
    return chosen
