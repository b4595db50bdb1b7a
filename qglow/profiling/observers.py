"""What is recorded of one tensor, in constant memory: count, range, a histogram that grows without losing counts,
channel ranges. Of samples with different numbers of channels it knows no channels.

Infinities and NaN are counted apart: a mask that holds minus infinity says nothing about the range of what it masks.

The histogram has BINS bins over [-reach, reach), reach a power of two. A value beyond it doubles the reach and merges
bins two by two, so counts are exact integers whatever the order of the samples, and 0 always lies on a bin's edge. A
channel's sum is an exact integer too, in units of UNIT: each sample's sum is rounded to it once, so neither order nor
batches nor merging change a bit.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, Graph
from ..kernels import sizes
from .passes import add_counts, arranged, discard_counts, observe

BINS = sizes.BINS
UNIT = 2.0**-40
HALF = 32  # bits of the lower part of a channel's sum; parts are added apart, and carry only when they are read


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
        self.channel_min: Array | None = None
        self.channel_max: Array | None = None
        self._sums: tuple[Array, Array] | None = None  # the upper and the lower part of every channel's sum
        self.channel_count = 0
        self.channels_vary = False  # whether samples had different numbers of channels

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

    def observe(self, x: Array, rectified: Observer | None = None) -> bool:
        """Add a float array and, in the same pass, its Relu to `rectified`. Returns whether that was done: not for an
        array without elements, or with some that are not finite."""
        if x.size == 0:
            return False
        x = arranged(x)
        rows = x if x.ndim >= 2 else x.reshape(1, 1, -1)
        low, high, total, above = observe(rows, self.reach or 1.0, rectified.reach or 1.0 if rectified else None)
        if not np.isfinite(total).all():
            discard_counts()
            self._observe_finite(x)
            return False
        least, largest = float(low.min()), float(high.max())
        grown = self._grow(max(abs(least), abs(largest)))
        if rectified is None:
            if grown:
                discard_counts()
                observe(rows, self.reach)
            add_counts(self.histogram)
        else:
            if rectified._grow(max(largest, 0.0)) or grown:
                discard_counts()
                observe(rows, self.reach, rectified.reach)
            self._add_both(rectified)
            rectified._add(x, max(least, 0.0), max(largest, 0.0), (np.maximum(low, 0), np.maximum(high, 0), above))
        self._add(x, least, largest, (low, high, total))
        return rectified is not None

    def _add(self, x: Array, least: float, largest: float, rows: tuple[Array, Array, Array]) -> None:
        """All of a finite array but its histogram. rows: least, largest and sum of each sample's channels."""
        self.count += x.size
        self.min, self.max = min(self.min, least), max(self.max, largest)
        if x.ndim >= 2:
            low, high, total = rows
            self._channels(_over_samples(np.minimum, low), _over_samples(np.maximum, high), exact_sums(total),
                           x.size // x.shape[1])  # fmt: skip

    def _add_both(self, rectified: Observer) -> None:
        """Add what is counted with other bins above 0 than below to both histograms: from 0 on, one of these bins is a
        power of two of those."""
        counts, half = np.zeros(BINS, np.int64), BINS // 2
        add_counts(counts)
        rectified.histogram[half:] += counts[half:]
        rectified.histogram[half] += counts[:half].sum()
        self.histogram[:half] += counts[:half]
        together = min(int(self.reach / rectified.reach), half)
        self.histogram[half : half + half // together] += counts[half:].reshape(-1, together).sum(1)

    def _observe_finite(self, x: Array) -> None:
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
            self._channels(low, high, None, 0)

    def _grow(self, magnitude: float) -> bool:
        """Have a reach above the magnitude; whether it is another than before."""
        if 2 * magnitude < self.reach:
            return False
        before, want = self.reach, max(UNIT, 2.0 ** np.floor(np.log2(magnitude) + 1) if magnitude > 0 else 0.0)
        if before == 0.0:
            self.reach = want
        while self.reach < want:
            self.histogram = widen(self.histogram)
            self.reach *= 2
        return self.reach != before

    def _channels(self, low: Array, high: Array, total: tuple[Array, Array] | None, count: int) -> None:
        """Add ranges and sums of channels. Where their number is not always the same they are no channels, and nothing
        is known of them."""
        if self.channels_vary:
            return
        if self.channel_min is None or self.channel_max is None:
            self.channel_min, self.channel_max, self._sums, self.channel_count = (
                low,
                high,
                total,
                count if total is not None else 0,
            )
        elif self.channel_min.shape != low.shape:
            self._forget_channels()
        else:
            self.channel_min, self.channel_max = np.minimum(self.channel_min, low), np.maximum(self.channel_max, high)
            if self._sums is None or total is None:  # NOTE: of an older profile, or not finite
                self._sums, self.channel_count = None, 0
            else:
                self._sums, self.channel_count = (
                    (self._sums[0] + total[0], self._sums[1] + total[1]),
                    self.channel_count + count,
                )

    def _forget_channels(self) -> None:
        self.channels_vary, self.channel_count = True, 0
        self.channel_min = self.channel_max = self._sums = None

    @property
    def channel_sum(self) -> Array | None:
        """Sums of channels in units of UNIT: Python integers [channels] (dtype object)."""
        if self._sums is None:
            return None
        return np.array([(h << HALF) + v for h, v in zip(*(a.tolist() for a in self._sums), strict=True)], object)

    @channel_sum.setter
    def channel_sum(self, sums: Array | None) -> None:
        self._sums = None
        if sums is not None:
            mask = (1 << HALF) - 1
            self._sums = (
                np.array([int(v) >> HALF for v in sums], object),
                np.array([int(v) & mask for v in sums], np.int64),
            )

    @property
    def channel_mean(self) -> Array | None:
        """Mean of every channel (axis 1), float64; None where it was not recorded."""
        if self.channel_sum is None or not self.channel_count:
            return None
        return np.array([v / self.channel_count for v in self.channel_sum.tolist()], np.float64) * UNIT

    def merge(self, other: Observer) -> Observer:
        """The statistics of both, as if one observer had seen all."""
        if self.is_empty or other.is_empty:
            return other if self.is_empty else self
        result = _counts([self, other])
        for part in (self, other):
            if part.channels_vary:
                result._forget_channels()
            elif part.channel_min is not None and part.channel_max is not None:
                result._channels(part.channel_min, part.channel_max, part._sums, part.channel_count)
        return result


def _counts(parts: list[Observer]) -> Observer:
    """What several have counted, and nothing of channels."""
    whole = Observer()
    for name in ("count", "lowest", "highest", "nans"):
        setattr(whole, name, sum(getattr(p, name) for p in parts))
    whole.min, whole.max = min(p.min for p in parts), max(p.max for p in parts)
    whole.reach = max(p.reach for p in parts)
    for part in (p for p in parts if p.count):  # NOTE: what saw infinities alone has no reach that could be doubled
        counts, reach = part.histogram, part.reach
        while reach < whole.reach:
            counts, reach = widen(counts), reach * 2
        whole.histogram += counts
    return whole


def joined(parts: list[Observer]) -> Observer:
    """Of a tensor that other tensors make up, channel behind channel: as if an observer had seen it, from what those
    of its parts saw of the same samples."""
    whole = _counts(parts)
    if all(p.channel_min is not None for p in parts):
        whole.channel_min = np.concatenate([p.channel_min for p in parts if p.channel_min is not None])
        whole.channel_max = np.concatenate([p.channel_max for p in parts if p.channel_max is not None])
        sums = [p._sums for p in parts if p._sums is not None]
        if len(sums) == len(parts):
            high, low = (np.concatenate([s[k] for s in sums]) for k in range(2))
            whole._sums, whole.channel_count = (high, low), parts[0].channel_count
    return whole


def exact_sums(rows: Array) -> tuple[Array, Array]:
    """Sums [samples, channels] in units of UNIT, rounded to integers h 2^HALF + v: (h, v) int64 [channels], added over
    the samples."""
    units = np.rint(rows * (1 / UNIT))
    if max(units.max(), -units.min()) >= 2.0**90:  # NOTE: beyond 64 bits in the upper part; sums in Python's integers
        sums = np.array([[int(u) for u in row] for row in units], object).sum(0)
        return sums >> HALF, (sums & ((1 << HALF) - 1)).astype(np.int64)
    high = np.floor(units * 2.0**-HALF)
    units -= high * 2.0**HALF
    return _over_samples(np.add, high.astype(np.int64)), _over_samples(np.add, units.astype(np.int64))


def _over_samples(function: np.ufunc, rows: Array) -> Array:
    """A reduction of [samples, channels] over the samples."""
    return rows[0] if len(rows) == 1 else function.reduce(rows)


def widen(histogram: Array) -> Array:
    """The histogram over twice the reach: bins merged two by two into the middle half."""
    wider = np.zeros(BINS, np.int64)
    wider[BINS // 4 : 3 * BINS // 4] = histogram.reshape(-1, 2).sum(1)
    return wider
