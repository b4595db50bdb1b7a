"""Where the noise of a quantized graph comes from, found by groups: roundings that follow each other are tried together
in an otherwise float graph, and the group with most noise is halved again and again, so that few evaluations find
the few roundings that matter among hundreds.

What is moved with the integers of another value has no rounding of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..graph import Array, Graph
from ..ops.traits import KEEPS_QUANTIZATION, VIEW
from ..progress import track
from ..quantization import QuantConfig
from .roundings import MOST, Rounding, noise_of, roundings_of, signal_of
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


class Trial:
    """Tries groups of roundings on some inputs. runs: of the float graph with switches, so far."""

    def __init__(
        self, graph: Graph, quantized: Graph, config: QuantConfig, data: Sequence[Mapping[str, Array]]
    ) -> None:
        moved = _moved(quantized)
        place = {n.name: k for k, n in enumerate(graph.nodes)}
        self.ordered = sorted(
            (r for r in roundings_of(graph, quantized, config) if r.stored not in moved or r.weights is not None),
            key=lambda r: min((place[n] for n in r.nodes), default=0),
        )
        self.switched, self.data = SwitchedGraph(graph, quantized, self.ordered), data
        self.real: list[list[Array]] = []
        self.known: dict[tuple[int, ...], list[Array]] = {}  # noise on each sample so far
        self.runs = 0

    def groups(self, samples: int | None = None, quiet: bool = True) -> list[Source]:
        """GROUPS groups of roundings that follow each other, tried on so many samples; None: on all."""
        count = min(GROUPS, len(self.ordered))
        cuts = [k * len(self.ordered) // count for k in range(count + 1)] if count else [0]
        pairs = track(pairwise(cuts), "finding what costs most", count, quiet)
        return [self.source(self.ordered[a:b], samples) for a, b in pairs]

    def find(self, runs: int, share: float = SHARE, quiet: bool = True) -> list[Source]:
        """Groups of roundings with their noise, until none has more than `share` of an output's or so many runs are
        spent."""
        found = self.groups(quiet=quiet)
        for _ in range(EVALUATIONS):
            total = np.maximum(np.sum([s.noise for s in found], axis=0), 1e-300) if found else np.ones(1)
            large = [s for s in found if len(s.roundings) > 1 and (s.noise / total).max() > share]
            if not large or self.runs > runs:
                break
            worst = max(large, key=lambda s: float((s.noise / total).max()))
            half = len(worst.roundings) // 2
            found = [s for s in found if s is not worst]
            found += [self.source(worst.roundings[:half]), self.source(worst.roundings[half:])]
        return found

    def source(self, group: Sequence[Rounding], samples: int | None = None) -> Source:
        """A group by so many of the samples; None: by all."""
        count = len(self.data) if samples is None else samples
        noise = self.known.setdefault(tuple(id(r) for r in group), [])
        while len(self.real) < count:
            self.real.append(self.switched.outputs(self.data[len(self.real)], ()))
        for feeds, real in zip(self.data[len(noise) : count], self.real[len(noise) : count], strict=True):
            self.runs += 1
            made = self.switched.outputs(feeds, group)
            noise.append(np.array([noise_of(a, b) for a, b in zip(real, made, strict=True)]))
        signal = np.sum([[signal_of(v) for v in outputs] for outputs in self.real[:count]], axis=0)
        with np.errstate(over="ignore"):
            shares = np.minimum(np.sum(noise[:count], axis=0) / np.maximum(signal, 1e-300), MOST)
        return Source(tuple(group), shares)


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
