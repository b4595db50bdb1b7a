"""How kernels are compiled: they hold no lock of the interpreter, and cannot fail.

numba's other model of errors ends a function early where a divisor is 0, and what it had still to write keeps the bytes of the run before.
Here division is that of IEEE 754: infinity or NaN, and 0 for integers. `build.py` refuses a kernel that could raise anything else.
"""

from __future__ import annotations

from functools import partial

import numba

njit = partial(numba.njit, error_model="numpy")
