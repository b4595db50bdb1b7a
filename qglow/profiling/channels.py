"""Ranges and sums of a tensor's channels over all samples. Of samples with different numbers of channels nothing is
known.

A channel's sum is an exact integer in units of UNIT: each sample's sum is rounded to it once.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array

UNIT = 2.0**-40
HALF = 32  # bits of the lower part of a sum; parts are added apart, and carry only when they are read
WAITING = 1024  # channels of samples that wait to be added together, as numpy's time is that of its calls

Range = tuple[Array, Array]
Sums = tuple[Array, Array]


class Channels:
    """What is known of the channels of one tensor."""

    def __init__(self) -> None:
        self._vary = False
        self._range: Range | None = None
        self._sums: Sums | None = None  # the upper and the lower part of every channel's sum
        self._count = 0
        self._waiting: list[tuple[Array, Array, Array]] = []
        self._elements = 0  # of a channel of those that wait

    @property
    def vary(self) -> bool:
        """Whether samples had different numbers of channels."""
        self._settle()
        return self._vary

    @property
    def range(self) -> Range | None:
        """Least and largest of every channel, float32 [channels]."""
        self._settle()
        return self._range

    @property
    def count(self) -> int:
        """Elements of a channel."""
        self._settle()
        return self._count

    @property
    def sums(self) -> Array | None:
        """Sums of channels in units of UNIT: Python integers [channels] (dtype object)."""
        self._settle()
        if self._sums is None:
            return None
        return np.array([(h << HALF) + v for h, v in zip(*(a.tolist() for a in self._sums), strict=True)], object)

    def add(self, low: Array, high: Array, total: Array, elements: int) -> None:
        """Of some samples: least and largest float32, and sums float64 [samples, channels]. elements: of a channel."""
        if self._vary:
            return
        if self._waiting and self._waiting[0][0].shape[1] != low.shape[1]:
            self._settle()
        self._waiting.append((low, high, total))
        self._elements += elements
        if len(self._waiting) * low.size >= WAITING:
            self._settle()

    def add_range(self, low: Array, high: Array) -> None:
        """Least and largest of each channel alone: there are no sums any more."""
        self._settle()
        self._add((low, high), None, 0)

    def known(self, low: Array, high: Array, sums: Array | None, count: int) -> None:
        """Have what a file says: sums as `sums` gives them."""
        self._range = low, high
        if sums is not None:
            mask = (1 << HALF) - 1
            upper = np.array([int(v) >> HALF for v in sums], object)
            self._sums, self._count = (upper, np.array([int(v) & mask for v in sums], np.int64)), count

    def merge(self, other: Channels) -> Channels:
        """Of the samples of both."""
        result = Channels()
        for part in (self, other):
            if part.vary:
                result.forget()
            elif part._range is not None:
                result._add(part._range, part._sums, part._count)
        return result

    def _settle(self) -> None:
        """Add what waits."""
        if self._waiting:
            low, high, total = (np.concatenate(rows) for rows in zip(*self._waiting, strict=True))
            elements = self._elements
            self._waiting, self._elements = [], 0
            self._add((low.min(0), high.max(0)), exact_sums(total), elements)

    def _add(self, both: Range, sums: Sums | None, count: int) -> None:
        if self._vary:
            return
        if self._range is None:
            self._range, self._sums, self._count = both, sums, count if sums is not None else 0
            return
        (low, high), (least, largest) = both, self._range
        if low.shape != least.shape:
            self.forget()
            return
        self._range = np.minimum(least, low), np.maximum(largest, high)
        if self._sums is None or sums is None:  # NOTE: of an older profile, or not finite
            self._sums, self._count = None, 0
        else:
            self._sums = self._sums[0] + sums[0], self._sums[1] + sums[1]
            self._count += count

    def forget(self) -> None:
        """Know that their number varies, and nothing more."""
        self._vary, self._count = True, 0
        self._range = self._sums = None


def side_by_side(parts: list[Channels]) -> Channels:
    """The channels of a tensor that others make up, from the same samples."""
    result = Channels()
    ranges, sums = [p.range for p in parts], [p._sums for p in parts]
    if all(r is not None for r in ranges):
        low, high = (np.concatenate([r[k] for r in ranges if r is not None]) for k in range(2))
        result._range = low, high
        if all(s is not None for s in sums):
            upper, lower = (np.concatenate([s[k] for s in sums if s is not None]) for k in range(2))
            result._sums, result._count = (upper, lower), parts[0].count
    return result


def exact_sums(rows: Array) -> Sums:
    """Sums [samples, channels] in units of UNIT, rounded to integers h 2^HALF + v: (h, v) int64 [channels], added over
    the samples."""
    units = np.rint(rows * (1 / UNIT))
    if max(units.max(), -units.min()) >= 2.0**90:  # NOTE: beyond 64 bits in the upper part; sums in Python's integers
        sums = np.array([[int(u) for u in row] for row in units], object).sum(0)
        return sums >> HALF, (sums & ((1 << HALF) - 1)).astype(np.int64)
    high = np.floor(units * 2.0**-HALF)
    units -= high * 2.0**HALF
    return high.astype(np.int64).sum(0), units.astype(np.int64).sum(0)
