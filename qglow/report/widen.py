"""Wider formats where 8 bits alone are poor, or where a few roundings make most of the noise: 16-bit activations, or
float where an op has no 16-bit form.

1. Nothing is done where the worst output reaches GOOD_DB on samples of the profile.
2. Else the noise of roundings at the outputs is found (noise_sources.py), within SECONDS that are estimated. Those with
   most noise for the time that a wider format takes longer (format_time.py) are avoided.
   From POOR_DB on, groups of roundings are first tried on one sample, and no further where even the best FEW of them,
   their noise all in a PART of their time, would not be worth it.
3. Below POOR_DB: until the outputs should reach WANTED_DB, or the estimated time has grown by
   `widen_percent`. Then, and from POOR_DB on: as long as a percent of time gains RATE dB, which is what 16 bits
   throughout give for their time.
4. Below JUNK_DB little is left of an output: up to JUNK_TIMES `widen_percent` of time are given, in steps that double,
   but no more than float takes, and what 16 bits round too coarsely becomes float.
5. A value becomes int16, and a node of which the weights are the noise float. What was predicted is scaled to what is
   measured, and another round follows where it is worth it. Less than GAIN_DB in all is not worth any time: int8 stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..graph import Array, DType, Graph
from ..graph.blocks import Precision
from ..ops.traits import KEEPS_QUANTIZATION, VIEW, WEIGHTED
from ..oracle import Oracle
from ..profiling.dataset import Sample, spread_indices
from ..quantization import QuantConfig, QuantState
from .agreement import Agreement, agreement_with
from .format_time import PRICES, seconds_by_node, seconds_of_decisions, sizes
from .noise_sources import GROUPS, SHARE, Source, Trial
from .roundings import Rounding
from .verdict import worst_db

POOR_DB, WANTED_DB, GAIN_DB = 20.0, 23.0, 1.0  # NOTE: new samples have a little more noise than those chosen by
GOOD_DB, RATE = 30.0, 0.3
JUNK_DB, JUNK_TIMES = 12.0, 8.0
SAMPLES = 8  # that formats are chosen by, and, as far as SECONDS reach, that each rounding is tried on
SECONDS, JUNK_SECONDS = 4.0, 12.0  # estimated, for finding causes once; below JUNK_DB, where few runs are too few
FINE = 3 * GROUPS  # runs in which groups are halved far enough to tell roundings apart
SWITCHED = 3.0  # a float run with switches takes so many times as long as one without
FEW, PART = 3, 0.25  # NOTE: sources that pay are concentrated: 60 to 84 % of the noise in 1 to 3 % of the time
LEAST = 0.002  # of the noise of an output: less is not worth a wider value
ROUNDS, TRIES = 3, 4
AMPLE = 1.5  # nodes of several causes count once: what is chosen may be estimated so much longer than the room


def may_widen(config: QuantConfig) -> bool:
    """Whether wider formats may be chosen: other schemes than the usual one are for what runs nothing else."""
    usual = config.activations == "uint8" and not config.power_of_two and config.weights != "per_tensor"
    return usual and config.tries and config.widen_percent > 0


class Judge(NamedTuple):
    """What results are measured on. graph: the float one. real: its outputs on each sample. finished: what is done to a
    result before it is measured."""

    graph: Graph
    data: Sequence[Sample]
    real: Sequence[Mapping[str, Any]]
    finished: Callable[[QuantState], QuantState]
    quiet: bool

    def score(self, result: QuantState) -> Agreement:
        return agreement_with(result.graph, self.data, self.real)

    def runs(self, search: Search, seconds: float) -> int:
        """Of a trial in so many estimated seconds."""
        return int(seconds / (SWITCHED * sum(search.times["float"].values())))

    def causes(self, search: Search, begin: float) -> list[Source]:
        """What the noise comes from; nothing where no part of it may be worth its time. More samples are tried than one
        where the groups of roundings take no more than the time for all of it, and where int8 is poor half of that, as
        groups are halved then."""
        runs = self.runs(search, SECONDS)
        if begin < JUNK_DB:
            runs = max(runs, min(FINE, self.runs(search, JUNK_SECONDS)))
        count = runs // (2 * GROUPS if begin < POOR_DB else GROUPS)
        feeds = [s.feeds for s in self.data[: max(1, count)]]
        trial = Trial(self.graph, search.first.graph, search.first.config, feeds)
        if begin >= POOR_DB and not search.is_hopeful(trial.groups(1)):
            return []
        return trial.find(runs, SHARE if begin < POOR_DB else 2 * SHARE, self.quiet)


def widen(
    graph: Graph, first: QuantState, quantized: Callable[[QuantConfig], QuantState],
    finished: Callable[[QuantState], QuantState], data: Sequence[Sample], oracle: Oracle, quiet: bool = True,
) -> tuple[QuantState, dict[str, Any] | None]:  # fmt: skip
    """`first` with wider values where it is poor on `data`, and the account of them; None where int8 stays alone.

    graph: the float one. quantized: quantizes it with another configuration; finished: what is done to a result before
    it is measured, as was to `first`."""
    data = [data[k] for k in spread_indices(len(data), SAMPLES)] if data else []
    judge = Judge(graph, data, [oracle.outputs(s.feeds) for s in data], finished, quiet)
    before = judge.score(first)
    begin = worst_db(before.outputs)
    if not data or begin >= GOOD_DB:
        return first, None
    try:
        search = Search(graph, first, quantized, sizes(graph, data[0].feeds))
        causes = judge.causes(search, begin)
    except Exception as error:  # NOTE: what is wider must not cost what is there: an op may refuse other values
        logging.getLogger("qglow").debug("nothing becomes wider: %r", error)
        return first, None
    *_, (best, score) = (first, before), *_within(search, judge, causes, before)
    if worst_db(score.outputs) < JUNK_DB:
        *_, (best, score) = (best, score), *_beyond(search, judge, best, score)
    if worst_db(score.outputs) < begin + GAIN_DB:
        return first, None
    return best, search.account(best, before, score)


Step = tuple[QuantState, Agreement]  # a result and what it reaches


def _within(search: Search, judge: Judge, causes: Sequence[Source], score: Agreement) -> Iterator[Step]:
    """Rule 3: results within the time, each better than the last. score: of int8 alone."""
    best, begin = search.first, worst_db(score.outputs)
    for _ in range(ROUNDS):
        is_poor = worst_db(score.outputs) < (WANTED_DB if begin < POOR_DB else POOR_DB)
        made = search.next(causes, score) if is_poor else search.worthwhile(causes, score)
        if made is None:
            return
        made = judge.finished(made)
        found = judge.score(made)
        if worst_db(found.outputs) < worst_db(score.outputs) + search.wanted_gain(best, made, is_poor):
            return
        best, score = made, found
        yield best, score
        if worst_db(score.outputs) >= GOOD_DB:
            return


def _beyond(search: Search, judge: Judge, at: QuantState, known: Agreement) -> Iterator[Step]:
    """Rule 4: results that take longer, each better than the last and than `at`, by the causes of the noise that is
    left. known: of `at`."""
    score, percent = known, search.first.config.widen_percent
    causes = list[Source]()
    for k in range(int(np.log2(JUNK_TIMES))):
        percent *= 2
        step = search.beyond(at, percent)
        try:
            # NOTE: of a large model they serve two steps
            if not causes or k % 2 == 0 or judge.runs(search, SECONDS) >= FINE:
                causes = judge.causes(step, worst_db(known.outputs))
            made = step.next(causes, known)
            causes = [c for c in causes if all(c is not t for t in step.taken)]
        except Exception as error:  # NOTE: as in `widen`
            logging.getLogger("qglow").debug("nothing more becomes wider: %r", error)
            return
        if made is None:
            continue
        # NOTE: one that is no better goes on too: noises do not add up here, and the causes are others then
        at = judge.finished(made)
        known = judge.score(at)
        if worst_db(known.outputs) >= worst_db(score.outputs) + GAIN_DB / 2:
            score = known
            yield at, score
        if worst_db(known.outputs) >= JUNK_DB:
            return


class Search:
    """Chooses what is widened next. known: the values of the float graph on a sample."""

    def __init__(
        self,
        graph: Graph,
        first: QuantState,
        quantized: Callable[[QuantConfig], QuantState],
        known: Mapping[str, Array],
    ) -> None:
        self.included = {n.name for n in graph.nodes if first.config.included(n)}
        self.products = {n.name for n in graph.nodes if n.has(WEIGHTED)}
        self.nodes, self.readers = {n.name: n for n in graph.nodes}, graph.consumers()
        self.first, self.quantized, self.taken = first, quantized, list[Source]()
        self.formats: Mapping[str, Precision] = {}  # of nodes in `first`; empty: all are as if in int8
        self.times: dict[Precision, dict[str, float]] = {
            p: seconds_by_node(graph, known, price) for p, price in PRICES.items()
        }
        self.int8 = seconds_of_decisions(first.decisions, self.times)
        self.spent, self.most = self.int8, self.int8 * (1 + first.config.widen_percent / 100)

    def beyond(self, best: QuantState, percent: float) -> Search:
        """A search that goes on from a result, within so much more time than int8, but no more than float takes."""
        made = copy(self)
        made.first, made.taken = best, []
        made.formats = {d.node: d.precision for d in best.decisions if d.precision in self.times}
        made.spent = seconds_of_decisions(best.decisions, self.times)
        made.most = min(self.int8 * (1 + percent / 100), sum(self.times["float"].values()))
        return made

    def next(self, causes: Sequence[Source], score: Agreement) -> QuantState | None:
        """The result with more of the causes avoided, by their noise for their time, that keeps within the time."""
        noise = np.array([o.noise_share for o in score.outputs.values()])
        rest = self._rest(causes)
        left = np.sum([c.noise for c in rest], axis=0) if rest else np.zeros_like(noise)
        goal = 10 ** (-WANTED_DB / 10)
        weight = np.where(noise > goal, noise / np.maximum(left, 1e-300), 0.0)
        worth = {id(c): float((weight * c.noise / np.maximum(noise, 1e-300)).sum()) for c in rest}
        order = sorted((c for c in rest if worth[id(c)] > LEAST), key=lambda c: -worth[id(c)] / self.seconds(c))
        chosen: list[Source] = []
        room = AMPLE * (self.most - self.spent)
        for cause in order:
            if (weight * left <= goal).all() or room <= 0:
                break
            room -= self.seconds(cause)
            chosen.append(cause)
            left = np.maximum(left - cause.noise, 0.0)
        return self._made(chosen, lambda c: c[: len(c) // 2])

    def is_hopeful(self, groups: Sequence[Source]) -> bool:
        """Whether avoiding some causes may be worth their time, if the noise of a FEW groups came from roundings that
        take but a PART of their time."""
        noise = np.array([g.noise for g in groups])
        shares = noise[:, (worst := int(np.argmax(noise.sum(0))))] / max(float(noise[:, worst].sum()), 1e-300)
        costs = np.array([RATE * 100 * PART * self.seconds(g) / self.int8 for g in groups])
        best = np.argsort(10 * np.log10(np.maximum(1 - shares, 1e-6)) + costs, kind="stable")[:FEW]
        worth = -10 * np.log10(np.maximum(1 - np.cumsum(shares[best]), 1e-6)) - np.cumsum(costs[best])
        return float(worth.max()) >= GAIN_DB

    def worthwhile(self, causes: Sequence[Source], score: Agreement) -> QuantState | None:
        """The result with those of the causes avoided that gain most over RATE dB for each percent of time."""
        noise = np.array([o.noise_share for o in score.outputs.values()])
        worst = int(np.argmax(noise))
        rest = self._rest(causes)
        total = max(float(sum(c.noise[worst] for c in rest)), 1e-300)
        order = sorted(rest, key=lambda c: -float(c.noise[worst]) / self.seconds(c))
        left, spent, best, count = total, 0.0, 0.0, 0
        for k, cause in enumerate(order):
            left, spent = max(left - float(cause.noise[worst]), 0.0), spent + self.seconds(cause)
            percent = 100 * spent / self.int8
            worth = -10 * np.log10(max(left / total, 1e-6)) - RATE * percent
            if self.spent + spent <= self.most and worth > best + LEAST:
                best, count = worth, k + 1
        chosen = order[:count] if best >= GAIN_DB else []
        return self._made(chosen, lambda c: c[:-1])

    def _rest(self, causes: Sequence[Source]) -> list[Source]:
        return [c for c in causes if all(c is not t for t in self.taken) and not self._is_wanted(c)]

    def _made(self, chosen: list[Source], fewer: Callable[[list[Source]], list[Source]]) -> QuantState | None:
        """The result with the chosen causes avoided too; with `fewer` of them where it may not be."""
        for _ in range(TRIES):
            if not chosen:
                return None
            made = self.quantized(self._config([*self.taken, *chosen]))
            if self._takes(made, chosen):
                return made
            chosen = fewer(chosen)
        return None

    def _takes(self, made: QuantState, chosen: Sequence[Source]) -> bool:
        """Whether a result may be: within the time, with what the user wants in int8, and with a product that is not
        float. What was chosen for it is taken then."""
        spent = seconds_of_decisions(made.decisions, self.times)
        lost = any(d.node in self.included and d.precision == "float" for d in made.decisions)
        if spent > self.most or lost or all(d.precision == "float" for d in made.decisions if d.node in self.products):
            return False
        self.taken, self.spent = [*self.taken, *chosen], spent
        return True

    def wanted_gain(self, best: QuantState, made: QuantState, is_poor: bool) -> float:
        """The dB that a result must gain over the best one."""
        if is_poor:
            return GAIN_DB / 2
        more = [seconds_of_decisions(r.decisions, self.times) for r in (best, made)]
        return max(GAIN_DB, RATE * 100 * (more[1] - more[0]) / self.int8)

    def _is_wanted(self, cause: Source) -> bool:
        """Whether the user wants a node of it in int8."""
        return any(n in self.included for r in cause.roundings for n in r.nodes)

    def seconds(self, cause: Source) -> float:
        """That the nodes of a cause take longer in the wider format."""
        floats = set(self._floats(cause))
        int16 = {n for r in cause.roundings if r.weights is None for n in r.nodes} - floats
        wide = [self.times["int16"][n] - self._present(n) for n in int16]
        return sum(wide) + sum(self.times["float"][n] - self._present(n) for n in floats) + 1e-9

    def _present(self, node: str) -> float:
        """Seconds of a node in the format that it has."""
        return self.times[self.formats.get(node, "int8")].get(node, 0.0)

    def _floats(self, cause: Source) -> list[str]:
        """Nodes that a cause is avoided by in float: of weights, and of values that have 16 bits already."""
        wide = [r for r in cause.roundings if r.weights is None and self._is_int16(r)]
        found = [n for r in wide for n in r.nodes]
        for name in found:  # NOTE: what moves a value has it rounded where it is read next
            node = self.nodes[name]
            if node.has(VIEW) or node.has(KEEPS_QUANTIZATION):
                found += [r.name for o in node.outputs for r in self.readers.get(o, ()) if r.name not in found]
        return [*cause.products, *found]

    def _is_int16(self, rounding: Rounding) -> bool:
        return self.first.graph.types[rounding.stored].dtype is DType.I16

    def _config(self, causes: Sequence[Source]) -> QuantConfig:
        config = self.first.config
        narrow = (r for c in causes for r in c.roundings if r.weights is None and not self._is_int16(r))
        values = tuple(dict.fromkeys(r.value for r in narrow))
        nodes = tuple(dict.fromkeys(n for c in causes for n in self._floats(c)))
        return replace(config, int16=(*config.int16, *values), exclude=(*config.exclude, *nodes))

    def account(self, made: QuantState, before: Agreement, after: Agreement) -> dict[str, Any]:
        was = {d.node: d.precision for d in self.first.decisions}
        wider = [d for d in made.decisions if d.precision in ("int16", "float") and was.get(d.node) == "int8"]
        return {
            "int8_db": round(worst_db(before.outputs), 2),
            "reached_db": round(worst_db(after.outputs), 2),
            "samples": after.samples,
            "more_time_percent": round(100 * (seconds_of_decisions(made.decisions, self.times) / self.int8 - 1), 1),
            "nodes": [{"node": d.node, "op": d.op, "precision": d.precision} for d in wider],
        }
