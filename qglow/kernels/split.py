"""How a product's work is cut into one share for each thread: by rows of pixels, or by blocks of output channels. Never both."""

from __future__ import annotations

from numba import njit

RULE, BY_ROWS, BY_BLOCKS = 0, 1, 2  # values of an instruction's `split`


@njit(nogil=True)
def share_of(rows, jobs, thread, threads, split):
    """(first row, end row, first job, end job) of a thread. RULE takes the cut whose largest share is smaller, rows where they are equal."""
    by_rows = split == BY_ROWS
    if split == RULE:
        by_rows = (rows + threads - 1) // threads * jobs <= (jobs + threads - 1) // threads * rows
    if by_rows:
        return rows * thread // threads, rows * (thread + 1) // threads, 0, jobs
    return 0, rows, jobs * thread // threads, jobs * (thread + 1) // threads
