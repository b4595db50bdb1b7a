"""How a product's work is cut into one share for each thread: by pieces of pixels, or by blocks of output channels. Never both."""

from __future__ import annotations

from ..instructions.table import BY_BLOCKS
from .jit import njit


@njit(nogil=True)
def share_of(pieces, jobs, thread, threads, split):
    """(first piece, end piece, first job, end job) of a thread. A job is a block of output channels of a group."""
    if split == BY_BLOCKS:
        return 0, pieces, jobs * thread // threads, jobs * (thread + 1) // threads
    return pieces * thread // threads, pieces * (thread + 1) // threads, 0, jobs
