"""What kernels and those who give them memory must agree on. Nothing of numba is imported here, for a session imports
it."""

import platform
import sys

SCRATCH_BYTES = 16384  # of a thread, for the operand `scratch`
BINS = 4096  # of a histogram, int64
TABLES = 2  # of BINS int32 each: neighbours are counted apart, so that equal ones do not wait for each other
BLOCK = 112  # int32 behind the tables: the bins of a vector of 16 floats, its least, largest and two sums
# whether kernels/futex.py can put a thread to sleep
SLEEPS = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
POOL_BYTES, WORKER_BYTES = 256, 128  # of a pool, and for each of its threads; see kernels/thread_pool.py
