"""The memory plan: an offset in the arena for every buffer, so that buffers which live at the same time never overlap.

Largest first, each at the lowest offset that is free over its whole life (greedy by size, Pisarchyk and Lee, 2020).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import numpy as np

from ..errors import VerifyError
from .program import Buffer, Program

ALIGNMENT = 64
FEW = 256  # buffers up to which lists are faster than arrays
SLACK = 256  # NOTE: kernels may read, never write, a little beyond a buffer


def plan(program: Program) -> Program:
    """The program with every buffer's offset and the arena's size."""
    buffers = placed(program.buffers)
    size = max((b.offset + b.size for b in buffers), default=SLACK) + SLACK
    return verify_plan(program._replace(buffers=buffers, arena_size=size))


def placed(buffers: Sequence[Buffer]) -> tuple[Buffer, ...]:
    """The buffers, each with an offset."""
    lowest = _Sorted() if len(buffers) <= FEW else _Arrays()
    found = list(buffers)
    for k in sorted(range(len(found)), key=lambda k: (-found[k].size, found[k].first)):
        size, first, last, _ = buffer = found[k]
        found[k] = Buffer(size, first, last, lowest.free(buffer))
        lowest.add(found[k])
    return tuple(found)


class _Sorted:
    """The buffers that are placed, in the order of their offsets."""

    def __init__(self) -> None:
        self._placed: list[Buffer] = []

    def free(self, buffer: Buffer) -> int:
        """The lowest offset that is free over a buffer's whole life."""
        offset, size, first, last = SLACK, buffer.size, buffer.first, buffer.last
        for other in self._placed:
            if other.first > last or first > other.last:
                continue
            if offset + size <= other.offset:
                break
            if (end := other.offset + other.size) > offset:
                offset = _up(end)
        return offset

    def add(self, buffer: Buffer) -> None:
        insort(self._placed, buffer, key=_offset)


class _Arrays:
    """As `_Sorted`, for many: rows of first and last step, offset, and the next offset that is free."""

    def __init__(self) -> None:
        self._rows = np.empty((4, 0), np.int64)

    def free(self, buffer: Buffer) -> int:
        first, last, _, _ = self._rows
        _, _, offsets, ends = self._rows[:, (first <= buffer.last) & (buffer.first <= last)]
        free = np.maximum.accumulate(np.concatenate([[SLACK], ends]))
        fits = free[:-1] + buffer.size <= offsets
        return int(free[fits.argmax()] if fits.any() else free[-1])

    def add(self, buffer: Buffer) -> None:
        row = [buffer.first, buffer.last, buffer.offset, _up(buffer.offset + buffer.size)]
        at = int(np.searchsorted(self._rows[2], buffer.offset, "right"))
        self._rows = np.insert(self._rows, at, row, axis=1)


def verify_plan(program: Program) -> Program:
    """Raise VerifyError where live buffers overlap or one lies outside of the arena."""
    for k, a in enumerate(program.buffers):
        if a.offset < 0 or a.offset + a.size > program.arena_size:
            raise VerifyError(
                f"buffer {k}: [{a.offset}, {a.offset + a.size}) is outside of the arena of {program.arena_size} bytes"
            )
    starts: list[int] = []
    alive: list[Buffer] = []  # in the order of their offsets
    ending: list[tuple[int, int, Buffer]] = []  # the soonest last
    for k, b in enumerate(sorted((b for b in program.buffers if b.size), key=lambda b: b.first)):
        while ending and -ending[-1][0] < b.first:
            at = bisect_left(starts, ending.pop()[2].offset)  # NOTE: no two that live begin at one byte
            del starts[at], alive[at]
        at = bisect_left(starts, b.offset)
        for other in alive[max(0, at - 1) : at + 1]:
            if b.offset < other.offset + other.size and other.offset < b.offset + b.size:
                raise VerifyError(f"buffers at {other.offset} and {b.offset} overlap while both are live")
        starts.insert(at, b.offset)
        alive.insert(at, b)
        insort(ending, (-b.last, k, b))
    return program


def _offset(buffer: Buffer) -> int:
    return buffer.offset


def _up(n: int) -> int:
    return -(-n // ALIGNMENT) * ALIGNMENT
