"""How the float values of a layer lie in the range that int8 gives them: a histogram, and the share that is cut off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..graph import Array, Graph, TensorType
from ..profiling.observers import Observer
from .figures import Spread
from .stored import float_name

BARS = 48


@dataclass(slots=True)
class Distribution:
    """Of one value, streamed over samples. low, high: the smallest and largest real number that its int8 type can hold,
    before the factors of its channels.
    """

    low: float
    high: float
    observer: Observer = field(default_factory=Observer)
    clipped: int = 0
    factors: Array | None = None

    @staticmethod
    def of(t: TensorType, factors: Array | None = None) -> Distribution | None:
        """None for a type that is not quantized per tensor."""
        if t.quant is None or t.quant.axis is not None:
            return None
        return Distribution(*t.real_limits(), factors=factors)

    def add(self, real: Array, name: str, sample: str) -> None:
        """Add one sample's float values. Beyond the range by less than half a step still rounds into it."""
        half = (self.high - self.low) / 510
        self.observer.observe(real)
        stored = real if self.factors is None else real / self.factors
        self.clipped += int(np.count_nonzero((stored < self.low - half) | (stored > self.high + half)))

    def merge(self, other: Distribution) -> None:
        """Add what other samples showed of the same value."""
        self.observer = self.observer.merge(other.observer)
        self.clipped += other.clipped

    def figures(self) -> Spread | None:
        """None where no value was seen."""
        o = self.observer
        if not o.count:
            return None
        start, stop = min(o.min, self.low), max(o.max, self.high)
        low, high, int8_low, int8_high, clipped = (
            _short(v) for v in (o.min, o.max, self.low, self.high, self.clipped / o.count)
        )
        return Spread(low, high, int8_low, int8_high, clipped, rebinned(o, start, stop).tolist())


def rebinned(o: Observer, start: float, stop: float, bars: int = BARS) -> Array:
    """The observer's counts over `bars` equal bins of [start, stop]: int64 [bars]."""
    index = np.clip(((o.centres - start) * (bars / max(stop - start, 1e-300))).astype(np.int64), 0, bars - 1)
    return np.bincount(index, weights=o.histogram, minlength=bars).astype(np.int64)


def add_distributions(found: dict[str, Distribution], graph: Graph, real: Mapping[str, Array], sample: str) -> None:
    """Add one sample's float values of everything that is int8 in `graph`, by float value name."""
    for name, t in graph.types.items():
        source = float_name(name)
        if not t.is_quantized or source not in real or real[source].dtype.kind != "f" or name in graph.constants:
            continue
        if source not in found:
            made = Distribution.of(t, graph.constants.get(f"{name}.factors"))
            if made is None:
                continue
            found[source] = made
        found[source].add(real[source], source, sample)


def _short(value: float) -> float:
    return float(f"{value:.5g}")
