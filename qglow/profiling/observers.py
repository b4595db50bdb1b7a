"""What is recorded of one tensor, in constant memory: count, range, a histogram that grows without losing counts,
channel ranges. Of samples with different numbers of channels it knows no channels.

Infinities and NaN are counted apart: a mask that holds minus infinity says nothing about the range of what it masks.

The histogram has BINS bins over [-reach, reach), reach a power of two. A value beyond it doubles the reach and merges
bins two by two, so counts are exact integers whatever the order of the samples, and 0 always lies on a bin's edge. What
is known of channels is exact too (channels.py), so neither order nor batches nor merging change a bit.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from ..graph import Array, Graph
from ..kernels import sizes
from .channels import UNIT, Channels, side_by_side
from .passes import add_counts, arranged, discard_counts, observe

BINS = sizes.BINS


def recurrent_inputs(graph: Graph) -> set[str]:
    """What an LSTM reads: its channels are the features, along the last axis."""
    return {n.inputs[0] for n in graph.nodes if n.op == "LSTM"}


class Observer:
    """Statistics of one float tensor over all samples."""

    def __init__(self) -> None:
        self.count = 0  # of finite elements
        self.lowest = self.highest = self.nans = 0  # how many were -infinity, infinity and NaN
        self.min, self.max = np.inf, -np.inf
        self.reach = 0.0
        self.histogram = np.zeros(BINS, np.int64)
        self.channels = Channels()

    @property
    def edges(self) -> Array:
        """float64 [BINS + 1]: the ends of the bins."""
        return (np.arange(BINS + 1) - BINS // 2) * (2 * self.reach / BINS)

    @property
    def centres(self) -> Array:
        """float64 [BINS]: the middles of the bins."""
        return self.edges[:-1] + self.reach / BINS

    @property
    def mean_power(self) -> float:
        """Mean square of the finite elements, each taken as the middle of its bin; 0 where there are none."""
        if not self.count:
            return 0.0
        return float(self.histogram.astype(np.float64) @ self.centres**2) / self.count

    @property
    def is_empty(self) -> bool:
        """Whether nothing was seen yet."""
        return not self.count and self.is_finite

    @property
    def is_finite(self) -> bool:
        """Whether no element was NaN or infinite."""
        return not (self.lowest or self.highest or self.nans)

    def without_channels(self) -> Observer:
        """A copy that knows nothing of channels."""
        made = copy(self)
        made.channels = Channels()
        return made

    def observe(self, x: Array) -> None:
        """Add a float array."""
        if x.size == 0:
            return
        x = arranged(x)
        low, high, total, _ = observe(rows_of(x), self.reach or 1.0)
        if not np.isfinite(total).all():
            discard_counts()
            self.observe_finite(x)
            return
        least, largest = float(low.min()), float(high.max())
        magnitude = max(abs(least), abs(largest))
        if not self.holds(magnitude):
            discard_counts()
            self.grow(magnitude)
            observe(rows_of(x), self.reach)
        add_counts(self.histogram)
        self.add(x, (least, largest), (low, high, total))

    def add(self, x: Array, ends: tuple[float, float], rows: tuple[Array, Array, Array]) -> None:
        """All of a finite array but its histogram. ends: least and largest. rows: these and the sum of each sample's
        channels."""
        self.count += x.size
        self.min, self.max = min(self.min, ends[0]), max(self.max, ends[1])
        if x.ndim >= 2:
            self.channels.add(*rows, x.size // x.shape[1])

    def observe_finite(self, x: Array) -> None:
        """Add what is finite of an array, and count the rest. Channels have no sums then, as their elements were not
        all seen."""
        self.nans += int(np.isnan(x).sum())
        self.lowest += int(np.isneginf(x).sum())
        self.highest += int(np.isposinf(x).sum())
        finite = np.isfinite(x)
        if finite.any():
            self.observe(x[finite])
        if x.ndim >= 2:
            axes = (0, *range(2, x.ndim))
            low, high = (np.where(finite, x, 0).min(axes), np.where(finite, x, 0).max(axes))
            self.channels.add_range(low, high)

    def holds(self, magnitude: float) -> bool:
        """Whether the reach is above the magnitude."""
        return 2 * magnitude < self.reach or _reach_of(magnitude) <= self.reach

    def grow(self, magnitude: float) -> None:
        """Have a reach above the magnitude."""
        want = _reach_of(magnitude)
        if self.reach == 0.0:
            self.reach = want
        while self.reach < want:
            self.histogram = widen(self.histogram)
            self.reach *= 2

    @property
    def channel_min(self) -> Array | None:
        """Least of every channel (axis 1), float32; None where nothing is known of channels."""
        return self.channels.range[0] if self.channels.range is not None else None

    @property
    def channel_max(self) -> Array | None:
        """Largest of every channel, float32."""
        return self.channels.range[1] if self.channels.range is not None else None

    @property
    def channel_count(self) -> int:
        """Elements of a channel."""
        return self.channels.count

    @property
    def channel_sum(self) -> Array | None:
        """Sums of channels in units of UNIT: Python integers [channels] (dtype object)."""
        return self.channels.sums

    @property
    def channel_mean(self) -> Array | None:
        """Mean of every channel (axis 1), float64; None where it was not recorded."""
        sums, count = self.channel_sum, self.channel_count
        if sums is None or not count:
            return None
        return np.array([v / count for v in sums.tolist()], np.float64) * UNIT

    def merge(self, other: Observer) -> Observer:
        """The statistics of both, as if one observer had seen all."""
        if self.is_empty or other.is_empty:
            return other if self.is_empty else self
        result = _counts([self, other])
        result.channels = self.channels.merge(other.channels)
        return result


def rows_of(x: Array) -> Array:
    """x as [samples, channels, ...]; one of fewer dimensions is a channel."""
    return x if x.ndim >= 2 else x.reshape(1, 1, -1)


def _reach_of(magnitude: float) -> float:
    """The power of two above the magnitude, or the next one."""
    return float(max(UNIT, 2.0 ** np.floor(np.log2(magnitude) + 1) if magnitude > 0 else 0.0))


def _counts(parts: list[Observer]) -> Observer:
    """What several have counted, and nothing of channels."""
    joint = Observer()
    for name in ("count", "lowest", "highest", "nans"):
        setattr(joint, name, sum(getattr(p, name) for p in parts))
    joint.min, joint.max = min(p.min for p in parts), max(p.max for p in parts)
    joint.reach = max(p.reach for p in parts)
    for part in (p for p in parts if p.count):  # NOTE: what saw infinities alone has no reach that could be doubled
        counts, reach = part.histogram, part.reach
        while reach < joint.reach:
            counts, reach = widen(counts), reach * 2
        joint.histogram += counts
    return joint


def joined(parts: list[Observer]) -> Observer:
    """Of a tensor that other tensors make up, channel behind channel: as if an observer had seen it, from what those
    of its parts saw of the same samples."""
    joint = _counts(parts)
    joint.channels = side_by_side([p.channels for p in parts])
    return joint


def widen(histogram: Array) -> Array:
    """The histogram over twice the reach: bins merged two by two into the middle half."""
    wider = np.zeros(BINS, np.int64)
    wider[BINS // 4 : 3 * BINS // 4] = histogram.reshape(-1, 2).sum(1)
    return wider
