"""What each rounding costs at the outputs by itself: one quantized value, or the weights of one product, in an
otherwise float graph.

A layer's isolated error (isolated_layer_error.py) says how much noise the layer makes, not whether the rest of the
graph minds; this does. It takes a run of the float graph for each rounding, by the kernels and with a switch for each
(switched.py), or an evaluation of what follows by the reference where the graph with switches cannot be run; so it is
for the accuracy target alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..graph import Array, Graph
from ..profiling.dataset import Sample
from ..progress import track
from ..quantization import QuantConfig
from ..reference import evaluate
from .effort import seconds_of
from .roundings import MOST, Rounding, noise_of, roundings_of, signal_of
from .switched import SwitchedGraph

TOGETHER = 64  # roundings that have switches in one graph: each takes time when it is off too
KERNELS = 0.25  # of the estimated time of the reference over all of a graph


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One rounding. what: in words. nodes: the float graph's nodes that must stay float to avoid it. noise: over
    signal, an output. value: the one that is rounded, which may be int16 instead; empty of weights."""

    what: str
    nodes: tuple[str, ...]
    noise: Array
    value: str = ""


def find_sensitivities(
    graph: Graph, quantized: Graph, config: QuantConfig, data: Iterable[Sample], seconds: float, quiet: bool = True,
    is_over: Callable[[], bool] = lambda: False,
) -> list[Sensitivity]:  # fmt: skip
    """Every rounding of `quantized` with its noise at the outputs, over the first sample and those that fit in so many
    estimated seconds, those that change their value most first. is_over: whether the caller's time is; what was not
    looked at by then is estimated from how much it changes its value."""
    roundings = list(roundings_of(graph, quantized, config))
    noise, signal = np.zeros((len(roundings), len(graph.outputs))), np.zeros(len(graph.outputs))
    spent, own, looked_at = 0.0, np.zeros(len(roundings)), set[int]()
    effects = _Effects(graph, quantized, roundings)
    for sample in data:
        if spent > seconds or is_over():
            break
        real: dict[str, Array] = {}
        evaluate(graph, sample.feeds, keep=real.__setitem__, fast=True)
        signal += [signal_of(real[o]) for o in graph.outputs]
        own = own if own.any() else np.array([r.own_share(graph, quantized, real) for r in roundings])
        order = np.argsort(-own, kind="stable").tolist()
        effects.begin(sample.feeds, real, order)
        for k in track(order, "finding what costs most", len(roundings), quiet):
            if is_over():
                break
            looked_at.add(k)
            found, estimated = effects.noise(k)
            noise[k] += found
            spent += estimated
    shares = np.minimum(noise / np.maximum(signal, 1e-300), MOST)
    known = [k for k in sorted(looked_at) if own[k] > 0]
    reach = np.median([shares[k] / own[k] for k in known], axis=0) if known else np.ones(len(graph.outputs))
    for k in {*range(len(roundings))} - looked_at:
        shares[k] = np.minimum(own[k] * reach, MOST)
    return [Sensitivity(r.what, r.nodes, share, r.value) for r, share in zip(roundings, shares, strict=True)]


class _Effects:
    """The noise at the outputs of one rounding after the other, on one sample after the other."""

    def __init__(self, graph: Graph, quantized: Graph, roundings: Sequence[Rounding]) -> None:
        self.graph, self.quantized, self.roundings = graph, quantized, roundings
        self.by_kernels = True
        self._switched = lru_cache(1)(self._switched_of)

    def begin(self, feeds: Mapping[str, Array], real: Mapping[str, Array], order: Sequence[int]) -> None:
        """real: all values of the graph. order: in which the roundings are asked for."""
        self.feeds, self.real, self.floats = feeds, real, dict[int, list[Array]]()
        parts = [tuple(order[n : n + TOGETHER]) for n in range(0, len(order), TOGETHER)]
        self.part_of = {k: part for part in parts for k in part}
        self.estimated = seconds_of(self.graph, (o for n in self.graph.nodes for o in n.outputs if o), real)

    def _switched_of(self, part: tuple[int, ...]) -> SwitchedGraph:
        return SwitchedGraph(self.graph, self.quantized, [self.roundings[k] for k in part])

    def noise(self, k: int) -> tuple[list[float], float]:
        """Of a rounding, an output; and the estimated seconds that it took."""
        if self.by_kernels:
            try:
                return self._by_kernels(k), KERNELS * self.estimated
            except Exception as error:  # NOTE: the graph with switches may ask for what no kernel, nor the host, has
                logging.getLogger("qglow").debug("roundings are tried by the reference: %r", error)
                self.by_kernels = False
        changed = self.roundings[k].changed(self.graph, self.quantized, self.real)
        outputs = [(self.real[o], changed.get(o, self.real[o])) for o in self.graph.outputs]
        return [noise_of(a, b) for a, b in outputs], seconds_of(self.graph, changed, self.real)

    def _by_kernels(self, k: int) -> list[float]:
        part = self.part_of[k]
        switched, first = self._switched(part), part[0]
        if first not in self.floats:
            self.floats = {first: switched.outputs(self.feeds, ())}
        made = switched.outputs(self.feeds, [self.roundings[k]])
        return [noise_of(a, b) for a, b in zip(self.floats[first], made, strict=True)]
