"""How kernels are compiled: they hold no lock of the interpreter, and cannot fail.

numba's other model of errors ends a function early where a divisor is 0, and what it had still to write keeps the bytes
of the run before. Here division is that of IEEE 754: infinity or NaN, and 0 for integers. `build.py` refuses a kernel
that could raise anything else.
"""

from __future__ import annotations

from functools import partial

import numba

# Python calls no kernel but by its address: it needs no wrappers
njit = partial(numba.njit, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


def function_of(intrinsic):
    """A function of its own that runs an intrinsic of one argument."""

    @njit(nogil=True)
    def run(operands):
        intrinsic(operands)

    return run


def chosen(functions, arguments="operands"):
    """A function (k, arguments) that calls functions[k]: a chain of comparisons, made as text, for numba cannot index
    functions."""
    scope = {f"run{k}": f for k, f in functions.items()}
    branches = [f"    {'elif' if n else 'if'} k == {k}: run{k}({arguments})" for n, k in enumerate(functions)]
    exec("\n".join([f"def choose(k, {arguments}):", *branches]), scope)
    return njit(nogil=True)(scope["choose"])
