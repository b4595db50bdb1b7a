"""Weighted sums of rows of floats from places that are computed: what samplers of images have in common."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import njit
from .target import ISA
from .vector import F32, I64, const, load_at, splat, vec
from .vector_loops import store_first

LANES = ISA.lanes
WHOLE = np.float32(2.0**23)  # floats from here on have no fraction
i64 = types.int64


@njit(nogil=True)
def floor(x):
    """The largest whole float of at most x; what is not a number stays so."""
    if not abs(x) < WHOLE:
        return x
    near = np.float32(np.int64(x))
    return near - np.float32(1) if near > x else near


@intrinsic
def weighted_rows(context, places, weights, taps, y, k, count):
    """`count` floats from the k-th on, at most a vector of them: the sum from 0 of `taps` rows, each times its weight.

    places: int64 addresses of rows; weights: floats. Each product and each sum is rounded.
    """

    def generate(ctx, b, sig, args):
        places, weights, taps, y, k, count = args
        t, at = vec(F32, LANES), b.shl(k, ir.Constant(I64, 2))
        total = cgutils.alloca_once(b, t)
        b.store(const(t, 0.0), total)
        with cgutils.for_range(b, taps) as loop:
            row = load_at(b, b.add(places, b.shl(loop.index, ir.Constant(I64, 3))), I64)
            weight = splat(b, load_at(b, b.add(weights, b.shl(loop.index, ir.Constant(I64, 2))), F32), LANES)
            b.store(b.fadd(b.load(total), b.fmul(load_at(b, b.add(row, at), t), weight)), total)
        store_first(b, b.add(y, at), b.load(total), b.shl(count, ir.Constant(I64, 2)))
        return ctx.get_dummy_value()

    return types.void(*[i64] * 6), generate
