"""Resampling along one axis by tables of taps and weights."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import njit
from .split import part_of, row_at
from .target import ISA
from .vector import F32, I32, I64, load_at, splat, vec
from .vector_loops import store_first

LANES = ISA.lanes
i64 = types.int64


@intrinsic
def weighted(context, x, x_h, rows, weights, step, taps, y, count):
    """LANES channels of a row; the first `count` are stored. step: bytes from one tap's entry to the next one's."""

    def generate(ctx, b, sig, args):
        x, x_h, rows, weights, step, taps, y, count = args

        def term(k):
            at = b.mul(step, k)
            row = b.sext(load_at(b, b.add(rows, at), I32), I64)
            weight = splat(b, load_at(b, b.add(weights, at), F32), LANES)
            return b.fmul(load_at(b, b.add(x, b.mul(row, x_h)), vec(F32, LANES)), weight)

        total = cgutils.alloca_once(b, vec(F32, LANES))
        b.store(term(ir.Constant(I64, 0)), total)
        with cgutils.for_range(b, taps, ir.Constant(I64, 1)) as loop:
            b.store(b.fadd(b.load(total), term(loop.index)), total)
        store_first(b, y, b.load(total), b.shl(count, ir.Constant(I64, 2)))
        return ctx.get_dummy_value()

    return types.void(*[i64] * 8), generate


@njit(nogil=True)
def float_taps(i, share):
    h, c, x_h, rows, weights, taps = i.H, i.C, i.x_h, i.rows, i.weights, i.taps
    first, end = part_of(share, i.N * h)
    for r in range(first, end):
        x, at = i.x + r // h * i.x_n, 4 * (r % h)
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        for k in range(0, c, LANES):
            weighted(x + 4 * k, x_h, rows + at, weights + at, 4 * h, taps, y + 4 * k, c - k)
