"""The uses of one buffer in their order, played through over coordinates that are cut only where a use begins or ends.

Bytes are numbered by digits: images, rows, pixels and bytes of a pixel, as the strides of what is written say. A use is
a box of digits. What is written is its box exactly, what is read lies within its box; so a proof here holds of the
bytes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import prod
from typing import Any

import numpy as np

from .footprint import Access

READ, SHARED, WRITE = 0, 1, 2  # how a use goes; shared: read, and then written in place by the same step
Use = tuple[Access, int, int, int]  # access, its address in the buffer, phase (from 0 on; -1: before all), how
Box = list[tuple[int, int]]  # of each digit the first value and the one after the last
CELLS = 1 << 16
KEPT = 4096
UNWRITTEN = -2
_held: set[tuple[Hashable, ...]] = set()  # of uses that hold, all that the proof is made of


def holds(uses: Sequence[Use]) -> bool:
    """Whether each byte is written before it is read, and no two uses of one phase meet where one of them writes.

    What a step reads comes before what it writes. False: not proven; then it may hold or not.
    """
    key = tuple([(a.dims, at + a.low, phase, how) for a, at, phase, how in uses])
    if key in _held:
        return True
    if not _proven(uses):
        return False
    _keep(key)
    return True


def _keep(key: tuple[Hashable, ...]) -> None:
    if len(_held) >= KEPT:
        _held.clear()
    _held.add(key)


def _proven(uses: Sequence[Use]) -> bool:
    """Boxes in coordinates that count the cuts: what is proven of these once holds for images of every size."""
    radices = _radices([a for a, _, _, how in uses if how == WRITE])
    boxes = [_box(a, at, radices) for a, at, _, _ in uses]
    for (a, _, _, how), box in zip(uses, boxes, strict=True):
        if how == WRITE and prod([high - low for low, high in box]) != a.count:
            return False
    shape, by_digit = [], []
    for digit in zip(*boxes, strict=True):
        places = {v: k for k, v in enumerate(sorted({v for ends in digit for v in ends}))}
        shape.append(len(places) - 1)
        by_digit.append([(places[low], places[high]) for low, high in digit])
    cells = zip(zip(*by_digit, strict=True), uses, strict=True)
    key = (*shape, *[(box, phase, how) for box, (_, _, phase, how) in cells])
    if key in _held:
        return True
    if prod(shape) > CELLS or not _played(shape, key[len(shape) :]):
        return False
    _keep(key)
    return True


def _played(shape: list[int], uses: Sequence[Any]) -> bool:
    """uses: box, phase, how."""
    written, read = np.full(shape, UNWRITTEN, np.int32), np.full(shape, UNWRITTEN, np.int32)
    for box, phase, how in uses:
        at = tuple([slice(low, high) for low, high in box])
        before = written[at]
        if (
            (before == phase).any()
            or (how != WRITE and before.min() == UNWRITTEN)
            or (how == WRITE and (read[at] == phase).any())
        ):
            return False
        if how != SHARED:
            (written if how == WRITE else read)[at] = phase
    return True


def _radices(writes: list[Access]) -> list[int]:
    """Strides, the largest first, each a multiple of the next; the last is 1."""
    nested = [1]
    for s in sorted({s for a in writes for s, _ in a.dims}):
        if s > nested[-1] and s % nested[-1] == 0:
            nested.append(s)
    return nested[::-1]


def _box(access: Access, at: int, radices: list[int]) -> Box:
    """Digits between which all bytes of a use lie."""
    extents = [0] * len(radices)
    for stride, count in access.dims:
        for level, radix in enumerate(radices):
            if stride % radix == 0:
                extents[level] += stride // radix * (count - 1)
                break
    box: Box = []
    first = at + access.low
    for level in range(len(radices) - 1, 0, -1):
        size = radices[level - 1] // radices[level]
        digit = first // radices[level] % size
        last = digit + extents[level]
        if last < size:
            box.append((digit, last + 1))
        else:
            box.append((0, size))
            extents[level - 1] += last // size
    digit = first // radices[0]
    box.append((digit, digit + extents[0] + 1))
    return box[::-1]
