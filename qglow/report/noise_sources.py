"""Where the noise of a quantized graph comes from, found by groups: roundings that follow each other are tried together
in an otherwise float graph, and the group with most noise is halved again and again, so that few evaluations find
the few roundings that matter among hundreds.

What is moved with the integers of another value has no rounding of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Array, Graph
from ..ops.traits import KEEPS_QUANTIZATION, VIEW
from ..progress import track
from ..quantization import QuantConfig
from ..reference.evaluate import evaluate_node
from .effort import seconds_of
from .sensitivity import MOST, Rounding, noise_of, roundings_of, signal_of
from .stored import as_real, as_stored

GROUPS, SHARE, EVALUATIONS = 16, 0.02, 64


@dataclass(frozen=True, slots=True)
class Source:
    """Roundings that were tried together. noise: over signal, an output."""

    roundings: tuple[Rounding, ...]
    noise: Array

    @property
    def values(self) -> tuple[str, ...]:
        """Values that are rounded."""
        return tuple(r.value for r in self.roundings if r.weights is None)

    @property
    def products(self) -> tuple[str, ...]:
        """Nodes whose weights are rounded."""
        return tuple(r.nodes[0] for r in self.roundings if r.weights is not None)


def find_sources(
    graph: Graph, quantized: Graph, config: QuantConfig, real: Mapping[str, Array], seconds: float, quiet: bool = True
) -> list[Source]:
    """Groups of roundings with their noise, until none has more than SHARE of an output's or the estimated seconds are
    spent. real: all values of the float graph on a sample."""
    trial = _Trial(graph, quantized, real)
    moved = _moved(quantized)
    place = {n.name: k for k, n in enumerate(graph.nodes)}
    ordered = sorted(
        (r for r in roundings_of(graph, quantized, config) if r.stored not in moved or r.weights is not None),
        key=lambda r: min((place[n] for n in r.nodes), default=0),
    )
    count = min(GROUPS, len(ordered))
    groups = [ordered[k * len(ordered) // count : (k + 1) * len(ordered) // count] for k in range(count)]
    found: list[Source] = []
    for group in track(groups, "finding what costs most", count, quiet):
        found.append(trial.source(group))
    for _ in range(EVALUATIONS):
        total = np.maximum(np.sum([s.noise for s in found], axis=0), 1e-300) if found else np.ones(1)
        large = [s for s in found if len(s.roundings) > 1 and (s.noise / total).max() > SHARE]
        if not large or trial.seconds > seconds:
            break
        worst = max(large, key=lambda s: float((s.noise / total).max()))
        half = len(worst.roundings) // 2
        found = [s for s in found if s is not worst]
        found += [trial.source(worst.roundings[:half]), trial.source(worst.roundings[half:])]
    return found


class _Trial:
    """Evaluates what follows roundings. seconds: estimated, of all evaluations so far."""

    def __init__(self, graph: Graph, quantized: Graph, real: Mapping[str, Array]) -> None:
        self.graph, self.quantized, self.real = graph, quantized, real
        self.signal = np.array([signal_of(real[o]) for o in graph.outputs])
        self.seconds = 0.0

    def source(self, group: Sequence[Rounding]) -> Source:
        changed = self._changed(group)
        self.seconds += seconds_of(self.graph, changed, self.real)
        noise = np.array([noise_of(self.real[o], changed.get(o, self.real[o])) for o in self.graph.outputs])
        return Source(tuple(group), np.minimum(noise / np.maximum(self.signal, 1e-300), MOST))

    def _changed(self, group: Sequence[Rounding]) -> dict[str, Array]:
        """The values that are others with these roundings alone, by name."""
        stored = {r.value: r.stored for r in group if r.weights is None}
        weights = {r.nodes[0]: r.weights for r in group if r.weights is not None}
        changed = {
            v: self._rounded(stored[v], self.real[v]) for v in self.graph.inputs if v in stored and v in self.real
        }
        for node in self.graph.nodes:
            if any(o and o not in self.real for o in node.outputs):  # of a branch that was not taken
                continue
            made = {o: self.real[o] for o in node.outputs if o}
            if node.name in weights or any(i in changed for i in node.inputs):
                inputs = [self._input(i, changed) for i in node.inputs]
                if node.name in weights:
                    inputs[1] = weights[node.name]
                made = dict(zip(node.outputs, evaluate_node(self.graph, node, inputs, fast=True), strict=False))
            elif not any(o in stored for o in made):
                continue
            changed |= {o: self._rounded(stored[o], a) if o in stored else a for o, a in made.items() if o}
        return changed

    def _input(self, name: str, changed: Mapping[str, Array]) -> Array | None:
        if not name:
            return None
        return changed[name] if name in changed else self.graph.constants.get(name, self.real.get(name))

    def _rounded(self, stored: str, value: Array) -> Array:
        return np.asarray(as_real(self.quantized, stored, as_stored(self.quantized, stored, value)))


def _moved(quantized: Graph) -> set[str]:
    """Values that hold the integers of another one, as they are."""
    types = quantized.types
    return {
        o
        for n in quantized.nodes
        if n.has(VIEW) or n.has(KEEPS_QUANTIZATION)
        for o in n.outputs
        if o and types[o].is_quantized and any(i and types[i].quant == types[o].quant for i in n.inputs)
    }
