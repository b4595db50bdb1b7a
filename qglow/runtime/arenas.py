"""The memory that the plans of a session run in, one at a time: that of the largest, and some room to grow.

A plan finds at each run whether its memory was given up for a larger one, and moves there: nothing of a run is left
when it ends.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array

MOST_KEPT = 512 << 20  # bytes; what is larger is there as long as a plan that needs so much is the last one that ran
ROOM = 1.5


def aligned(size: int) -> Array:
    """Zeroed bytes at a 64-byte boundary. Memory that is never written takes none of the machine's."""
    raw = np.zeros(size + 64, np.uint8)
    at = -raw.ctypes.data % 64
    return raw[at : at + size]


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
