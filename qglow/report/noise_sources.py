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
from .sensitivity import MOST, Rounding, noise_of, roundings_of, signal_of
from .switched import SwitchedGraph

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
    graph: Graph, quantized: Graph, config: QuantConfig, data: Sequence[Mapping[str, Array]], runs: int,
    share: float = SHARE, quiet: bool = True,
) -> list[Source]:  # fmt: skip
    """Groups of roundings with their noise, until none has more than `share` of an output's or `runs` of the float
    graph are spent. data: inputs of samples."""
    moved = _moved(quantized)
    place = {n.name: k for k, n in enumerate(graph.nodes)}
    ordered = sorted(
        (r for r in roundings_of(graph, quantized, config) if r.stored not in moved or r.weights is not None),
        key=lambda r: min((place[n] for n in r.nodes), default=0),
    )
    trial = _Trial(graph, quantized, ordered, data)
    count = min(GROUPS, len(ordered))
    groups = [ordered[k * len(ordered) // count : (k + 1) * len(ordered) // count] for k in range(count)]
    found: list[Source] = []
    for group in track(groups, "finding what costs most", count, quiet):
        found.append(trial.source(group))
    for _ in range(EVALUATIONS):
        total = np.maximum(np.sum([s.noise for s in found], axis=0), 1e-300) if found else np.ones(1)
        large = [s for s in found if len(s.roundings) > 1 and (s.noise / total).max() > share]
        if not large or trial.runs > runs:
            break
        worst = max(large, key=lambda s: float((s.noise / total).max()))
        half = len(worst.roundings) // 2
        found = [s for s in found if s is not worst]
        found += [trial.source(worst.roundings[:half]), trial.source(worst.roundings[half:])]
    return found


class _Trial:
    """Runs groups of roundings. runs: so far."""

    def __init__(
        self, graph: Graph, quantized: Graph, roundings: Sequence[Rounding], data: Sequence[Mapping[str, Array]]
    ) -> None:
        self.switched, self.data = SwitchedGraph(graph, quantized, roundings), data
        self.real = [self.switched.outputs(feeds, ()) for feeds in data]
        powers = [[signal_of(v) for v in outputs] for outputs in self.real]
        self.signal = np.maximum(np.sum(powers, axis=0), 1e-300)
        self.runs = 0

    def source(self, group: Sequence[Rounding]) -> Source:
        noise = np.zeros_like(self.signal)
        self.runs += len(self.data)
        for feeds, real in zip(self.data, self.real, strict=True):
            made = self.switched.outputs(feeds, group)
            noise = noise + [noise_of(a, b) for a, b in zip(real, made, strict=True)]
        return Source(tuple(group), np.minimum(noise / self.signal, MOST))


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
