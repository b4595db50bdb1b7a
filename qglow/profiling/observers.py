"""What is recorded of one tensor, in constant memory: count, range, a histogram that grows without losing counts, channel ranges.

The histogram has BINS bins over [-reach, reach), reach a power of two. A value beyond it doubles the reach and merges bins two by
two, so counts are exact integers whatever the order of the samples, and 0 always lies on a bin's edge. A channel's sum is an exact
integer too, in units of UNIT: each sample's sum is rounded to it once, so neither order nor batches nor merging change a bit.
"""

from __future__ import annotations

import numpy as np

from ..errors import DataError
from ..graph import Array

BINS = 4096
UNIT = 2.0**-40


class Observer:
    """Statistics of one float tensor over all samples."""

    def __init__(self) -> None:
        self.count = 0
        self.min, self.max = np.inf, -np.inf
        self.reach = 0.0
        self.histogram = np.zeros(BINS, np.int64)
        self.channel_min: Array | None = None
        self.channel_max: Array | None = None
        self.channel_sum: Array | None = None
        self.channel_count = 0

    def observe(self, x: Array, tensor: str, sample: str) -> None:
        """Add a float array. Raises DataError, naming tensor and sample, where it holds NaN or infinity."""
        if x.size == 0:
            return
        low, high = float(x.min()), float(x.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DataError(f"sample {sample}: tensor {tensor!r} holds NaN or infinity; remove the sample or mend the model")
        self.count += x.size
        self.min, self.max = min(self.min, low), max(self.max, high)
        self._grow(max(abs(low), abs(high)))
        # NOTE: in float64, where the product with a power of two is exact; in float32 a tiny negative value would become -0, another bin
        index = np.floor(np.multiply(x.ravel(), BINS / 2 / self.reach, dtype=np.float64)).astype(np.int32)
        index += BINS // 2
        np.clip(index, 0, BINS - 1, out=index)
        self.histogram += np.bincount(index, minlength=BINS)
        self._channels(x)

    def _grow(self, magnitude: float) -> None:
        want = max(UNIT, 2.0 ** np.floor(np.log2(magnitude) + 1) if magnitude > 0 else 0.0)
        if self.reach == 0.0:
            self.reach = want
        while self.reach < want:
            self.histogram = widen(self.histogram)
            self.reach *= 2

    def _channels(self, x: Array) -> None:
        if x.ndim < 2:
            return
        axes = (0, *range(2, x.ndim))
        low, high, total = x.min(axes), x.max(axes), channel_sums(x)
        if self.channel_min is None or self.channel_max is None:
            self.channel_min, self.channel_max, self.channel_sum, self.channel_count = low, high, total, x.size // low.size
        elif self.channel_min.shape == low.shape:
            self.channel_min, self.channel_max = np.minimum(self.channel_min, low), np.maximum(self.channel_max, high)
            if self.channel_sum is not None:
                self.channel_sum, self.channel_count = self.channel_sum + total, self.channel_count + x.size // low.size

    @property
    def channel_mean(self) -> Array | None:
        """Mean of every channel (axis 1), float64; None where it was not recorded."""
        if self.channel_sum is None or not self.channel_count:
            return None
        return np.array([v / self.channel_count for v in self.channel_sum.tolist()], np.float64) * UNIT

    def merge(self, other: Observer) -> Observer:
        """The statistics of both, as if one observer had seen all."""
        if not self.count or not other.count:
            return self if self.count else other
        result = Observer()
        result.count = self.count + other.count
        result.min, result.max = min(self.min, other.min), max(self.max, other.max)
        result.reach = max(self.reach, other.reach)
        for part in (self, other):
            counts, reach = part.histogram, part.reach
            while reach < result.reach:
                counts, reach = widen(counts), reach * 2
            result.histogram = result.histogram + counts
        if self.channel_min is not None and other.channel_min is not None and self.channel_min.shape == other.channel_min.shape:
            assert self.channel_max is not None and other.channel_max is not None
            result.channel_min = np.minimum(self.channel_min, other.channel_min)
            result.channel_max = np.maximum(self.channel_max, other.channel_max)
            if self.channel_sum is not None and other.channel_sum is not None:
                result.channel_sum = self.channel_sum + other.channel_sum
                result.channel_count = self.channel_count + other.channel_count
        return result


def channel_sums(x: Array) -> Array:
    """Sums over all but axis 1, in units of UNIT: Python integers [channels] (dtype object), the sum of each sample's rounded sum."""
    rows = np.ascontiguousarray(x, np.float64).reshape(*x.shape[:2], -1).sum(2)
    return np.array([sum(map(int, column)) for column in np.rint(rows / UNIT).T.tolist()], object)


def widen(histogram: Array) -> Array:
    """The histogram over twice the reach: bins merged two by two into the middle half."""
    wider = np.zeros(BINS, np.int64)
    wider[BINS // 4 : 3 * BINS // 4] = histogram.reshape(-1, 2).sum(1)
    return wider
