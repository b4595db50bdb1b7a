"""Wider formats where 8 bits alone are poor: 16-bit activations, or float where an op has no 16-bit form.

1. Nothing is done where the worst output reaches POOR_DB on samples of the profile.
2. Else the noise of roundings at the outputs is found (noise_sources.py), within SECONDS that are estimated. Those with
   most noise for the time that a wider format takes longer (format_time.py) are avoided, until the outputs should reach
   WANTED_DB, or the estimated time of the graph has grown by `widen_percent`.
3. A value becomes int16, and a node of which the weights are the noise float. What was predicted is scaled to what is
   measured, and another round follows where it is worth it. Less than GAIN_DB in all is not worth any time: int8 stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph import Array, Graph
from ..graph.blocks import Precision
from ..oracle import Oracle
from ..profiling.dataset import Sample
from ..quantization import QuantConfig, QuantState
from ..runtime import InferenceSession
from .agreement import Agreement, compare_outputs, evaluate_all
from .format_time import PRICES, seconds_by_node, seconds_of_decisions
from .noise_sources import Source, find_sources
from .verdict import worst_db

POOR_DB, WANTED_DB, GAIN_DB = 20.0, 23.0, 1.0  # NOTE: new samples have a little more noise than those chosen by
SECONDS = 4.0
LEAST = 0.002  # of the noise of an output: less is not worth a wider value
ROUNDS, TRIES = 3, 4
AMPLE = 1.5  # nodes of several causes count once: what is chosen may be estimated so much longer than the room


def may_widen(config: QuantConfig) -> bool:
    """Whether wider formats may be chosen: other schemes than the usual one are for what runs nothing else."""
    usual = config.activations == "uint8" and not config.power_of_two and config.weights != "per_tensor"
    return usual and config.widen_percent > 0


def widen(
    graph: Graph, first: QuantState, quantized: Callable[[QuantConfig], QuantState], data: Sequence[Sample],
    oracle: Oracle, quiet: bool = True,
) -> tuple[QuantState, dict[str, Any] | None]:  # fmt: skip
    """`first` with wider values where it is poor on `data`, and the account of them; None where int8 stays alone.

    graph: the float one. quantized: quantizes it with another configuration."""
    real = [oracle.outputs(s.feeds) for s in data]
    before = _measured(first.graph, data, real)
    if not data or worst_db(before.outputs) >= POOR_DB:
        return first, None
    known = evaluate_all(graph, data[0].feeds)
    search = _Search(graph, first, quantized, known)
    causes = find_sources(graph, first.graph, first.config, known, SECONDS, quiet)
    best, score = first, before
    for _ in range(ROUNDS):
        made = search.next(causes, score)
        if made is None:
            break
        found = _measured(made.graph, data, real)
        if worst_db(found.outputs) < worst_db(score.outputs) + GAIN_DB / 2:
            break
        best, score = made, found
        if worst_db(score.outputs) >= WANTED_DB:
            break
    if worst_db(score.outputs) < worst_db(before.outputs) + GAIN_DB:
        return first, None
    return best, search.account(best, before, score)


class _Search:
    """Chooses what is widened next. known: the values of the float graph on a sample."""

    def __init__(
        self,
        graph: Graph,
        first: QuantState,
        quantized: Callable[[QuantConfig], QuantState],
        known: Mapping[str, Array],
    ) -> None:
        self.included = {n.name for n in graph.nodes if first.config.included(n)}
        self.first, self.quantized, self.taken = first, quantized, list[Source]()
        self.times: dict[Precision, dict[str, float]] = {
            p: seconds_by_node(graph, known, price) for p, price in PRICES.items()
        }
        self.int8 = seconds_of_decisions(first.decisions, self.times)
        self.spent, self.most = self.int8, self.int8 * (1 + first.config.widen_percent / 100)

    def next(self, causes: Sequence[Source], score: Agreement) -> QuantState | None:
        """The result with more of the causes avoided, by their noise for their time, that keeps within the time."""
        noise = np.array([o.noise_share for o in score.outputs.values()])
        rest = [c for c in causes if all(c is not t for t in self.taken) and not self._is_wanted(c)]
        left = np.sum([c.noise for c in rest], axis=0) if rest else np.zeros_like(noise)
        goal = 10 ** (-WANTED_DB / 10)
        weight = np.where(noise > goal, noise / np.maximum(left, 1e-300), 0.0)
        worth = {id(c): float((weight * c.noise / np.maximum(noise, 1e-300)).sum()) for c in rest}
        order = sorted((c for c in rest if worth[id(c)] > LEAST), key=lambda c: -worth[id(c)] / self._seconds(c))
        chosen: list[Source] = []
        room = AMPLE * (self.most - self.spent)
        for cause in order:
            if (weight * left <= goal).all() or room <= 0:
                break
            room -= self._seconds(cause)
            chosen.append(cause)
            left = np.maximum(left - cause.noise, 0.0)
        for _ in range(TRIES):
            if not chosen:
                return None
            made = self.quantized(self._config([*self.taken, *chosen]))
            spent = seconds_of_decisions(made.decisions, self.times)
            lost = any(d.node in self.included and d.precision == "float" for d in made.decisions)
            if spent <= self.most and not lost:
                self.taken, self.spent = [*self.taken, *chosen], spent
                return made
            chosen = chosen[: len(chosen) // 2]
        return None

    def _is_wanted(self, cause: Source) -> bool:
        """Whether the user wants a node of it in int8."""
        return any(n in self.included for r in cause.roundings for n in r.nodes)

    def _seconds(self, cause: Source) -> float:
        """That the nodes of a cause take longer in the wider format."""
        int16 = {n for r in cause.roundings if r.weights is None for n in r.nodes}.difference(cause.products)
        wide = [self.times["int16"][n] - self.times["int8"][n] for n in int16]
        return sum(wide) + sum(self.times["float"][n] - self.times["int8"][n] for n in cause.products) + 1e-9

    def _config(self, causes: Sequence[Source]) -> QuantConfig:
        config = self.first.config
        values = tuple(dict.fromkeys(v for c in causes for v in c.values))
        nodes = tuple(dict.fromkeys(n for c in causes for n in c.products))
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


def _measured(quantized: Graph, data: Sequence[Sample], real: Sequence[Mapping[str, Any]]) -> Agreement:
    found, session = Agreement(), InferenceSession(quantized)
    for sample, floats in zip(data, real, strict=True):
        outputs = session.run(None, sample.feeds)
        compare_outputs(found, floats, quantized, dict(zip(quantized.outputs, outputs, strict=True)))
    return found
