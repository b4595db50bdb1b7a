"""Reductions and layer normalization of rows of floats: 16 partial results, sums in blocks, whose halves are combined
again and again."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..instructions.table import FLOAT_REDUCE
from .float_sums import sum_of_row
from .floats import larger
from .jit import njit
from .memory import store_f32
from .split import part_of
from .vector import F32, I64, call, const, load_at, splat, vec
from .vector_loops import SUMS, floats, halves, masked, store_chunk

f32, i64 = types.float32, types.int64


def largest(b, x, count):
    """The largest of a row of floats."""
    start = const(vec(F32, SUMS), float("-inf"))
    best = cgutils.alloca_once_value(b, start)
    b.store(start, best)

    def visit(at, v, mask):
        b.store(larger(b, b.load(best), v if mask is None else b.select(mask, v, start)), best)

    floats(b, x, count, visit)
    return halves(b, b.load(best), lambda p, q: larger(b, p, q))


def summed(b, x, count, value=lambda v: v):
    """The sum of a function of each element of a row of floats."""
    return sum_of_row(b, x, count, lambda at, v, mask: masked(b, value(v), mask))


def _row(is_max):
    @intrinsic
    def row(context, x, count):
        def generate(ctx, b, sig, args):
            return (largest if is_max else summed)(b, args[0], args[1])

        return f32(i64, i64), generate

    return row


max_of_row, total_of_row = _row(True), _row(False)
MEAN = FLOAT_REDUCE.index("Mean")


@njit(nogil=True)
def reduce_max(i, share):
    first, end = part_of(share, i.H)
    for r in range(first, end):
        store_f32(i.y + r * i.y_h, max_of_row(i.x + r * i.x_h, i.C))


@njit(nogil=True)
def reduce_sum(i, share):
    divisor = f32(i.C) if i.op == MEAN else f32(1)
    first, end = part_of(share, i.H)
    for r in range(first, end):
        store_f32(i.y + r * i.y_h, total_of_row(i.x + r * i.x_h, i.C) / divisor)


@intrinsic
def normalized_row(context, x, y, count, gain, shift, epsilon):
    """y = ((x - mean) / sqrt(mean of squares + epsilon)) gain + shift of a row."""

    def generate(ctx, b, sig, args):
        x, y, count, gain, shift, epsilon = args
        n = b.sitofp(count, F32)
        mean = splat(b, b.fdiv(summed(b, x, count), n), SUMS)

        def minus_zero_point(v):
            return b.fsub(v, mean)

        squares = summed(b, x, count, lambda v: b.fmul(minus_zero_point(v), minus_zero_point(v)))
        root = call(b, "llvm.sqrt.f32", F32, b.fadd(b.fdiv(squares, n), epsilon))
        inverse = splat(b, b.fdiv(ir.Constant(F32, 1.0), root), SUMS)

        def scaled(at, v, mask):
            g, s = (load_at(b, b.add(p, at), vec(F32, SUMS)) for p in (gain, shift))
            value = b.fadd(b.fmul(b.fmul(minus_zero_point(v), inverse), g), s)
            store_chunk(b, b.add(y, at), value, mask, b.sub(b.mul(count, ir.Constant(I64, 4)), at))

        floats(b, x, count, scaled)
        return ctx.get_dummy_value()

    return types.void(*[i64] * 5, f32), generate


@njit(nogil=True)
def float_layer_norm(i, share):
    h, epsilon = i.H, i.f_epsilon
    first, end = part_of(share, h)
    for r in range(first, end):
        x, y = i.x + r * i.x_h, i.y + r * i.y_h
        normalized_row(x, y, i.C, i.gain, i.shift, epsilon)
