"""The memory that the plans of a session run in, one at a time: that of the largest, and some room to grow.

A plan finds at each run whether its memory was given up for a larger one, and moves there: nothing of a run is left
when it ends.
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np

from ..graph import Array

MOST_KEPT = 512 << 20  # bytes; what is larger is there as long as a plan that needs so much is the last one that ran
ROOM = 1.5
LARGE_PAGE, LARGE_PAGES_WANTED = 2 << 20, 14  # bytes of a large page of Linux, and its MADV_HUGEPAGE
WORTH = 8 << 20  # bytes that are worth large pages


def aligned(size: int) -> Array:
    """Zeroed bytes at a 64-byte boundary. Memory that is never written takes none of the machine's."""
    raw = np.zeros(size + 64, np.uint8)
    at = -raw.ctypes.data % 64
    return raw[at : at + size]


def in_large_pages(size: int) -> Array:
    """`aligned`, where the system has them in large pages: memory that is read from end to end is found sooner so."""
    made = aligned(size)
    if size >= WORTH and sys.platform == "linux":
        first = -(-made.ctypes.data // LARGE_PAGE) * LARGE_PAGE
        length = (made.ctypes.data + size) // LARGE_PAGE * LARGE_PAGE - first
        # NOTE: a system that refuses leaves small ones
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), LARGE_PAGES_WANTED)
    return made


class Arena:
    """memory: all bytes that there are now."""

    __slots__ = ("memory",)

    def __init__(self) -> None:
        self.memory = aligned(0)

    def take(self, size: int) -> Array:
        """All bytes, at least so many; others than before where these are too few."""
        there = self.memory.size
        if there < size:
            self.memory = aligned(max(size, min(int(ROOM * there), MOST_KEPT)))
        elif there > MOST_KEPT >= size:
            self.memory = aligned(size)
        return self.memory
