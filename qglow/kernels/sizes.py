"""Sizes that kernels and those who give them memory must agree on. Nothing is imported here: a session imports it, and it has no numba."""

SCRATCH_BYTES = 16384  # of a thread, for the operand `scratch`
BINS = 4096  # of a histogram, int64
TABLES = 4  # of BINS int32 each: neighbours are counted apart, so that equal ones do not wait for each other
BLOCK = 16  # elements whose bins are found at once; int32 behind the tables
