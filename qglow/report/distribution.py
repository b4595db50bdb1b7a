"""How the float values of a layer lie in the range that int8 gives them: a histogram, and the share that is cut off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..graph import Array, Graph, TensorType
from ..profiling.observers import Observer
from .stored import float_name

BARS = 48


@dataclass(slots=True)
class Distribution:
    """Of one value, streamed over samples. low, high: the smallest and largest real number that its int8 type can hold, before the
    factors of its channels.
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

    def to_dict(self) -> dict[str, Any]:
        """min, max: of the float values. int8_low, int8_high: of the type. clipped: share of values beyond. histogram: counts over
        equal bins from the lower of both ends to the upper.
        """
        o = self.observer
        if not o.count:
            return {}
        start, stop = min(o.min, self.low), max(o.max, self.high)
        return {
            "min": _short(o.min), "max": _short(o.max), "int8_low": _short(self.low), "int8_high": _short(self.high),
            "clipped": _short(self.clipped / o.count), "histogram": rebinned(o, start, stop).tolist(),
        }  # fmt: skip


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
