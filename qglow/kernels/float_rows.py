"""Reductions and layer normalization of rows of floats: 16 partial results, sums in blocks, whose halves are combined again and again."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..instructions.table import FLOAT_REDUCE
from .float_sums import sum_of_row
from .floats import larger
from .jit import njit
from .memory import load_f32, load_i64, store_f32, words
from .table import kernel
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
X, Y, OP, H, C, XH, YH = words("float_reduce", "x y op H C x_h y_h")
MAX, MEAN = FLOAT_REDUCE.index("Max"), FLOAT_REDUCE.index("Mean")


@kernel("float_reduce")
@njit(nogil=True)
def float_reduce(i, arena, constants, thread, threads):
    h, c, op = load_i64(i + H), load_i64(i + C), load_i64(i + OP)
    for r in range(h * thread // threads, h * (thread + 1) // threads):
        x, y = load_i64(i + X) + r * load_i64(i + XH), load_i64(i + Y) + r * load_i64(i + YH)
        if op == MAX:
            store_f32(y, max_of_row(x, c))
        else:
            total = total_of_row(x, c)
            store_f32(y, total / f32(c) if op == MEAN else total)


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


LX, LY, GAIN, SHIFT, LH, LC, LXH, LYH, EPSILON = words("float_layer_norm", "x y gain shift H C x_h y_h f_epsilon")


@kernel("float_layer_norm")
@njit(nogil=True)
def float_layer_norm(i, arena, constants, thread, threads):
    h, epsilon = load_i64(i + LH), load_f32(i + EPSILON)
    for r in range(h * thread // threads, h * (thread + 1) // threads):
        x, y = load_i64(i + LX) + r * load_i64(i + LXH), load_i64(i + LY) + r * load_i64(i + LYH)
        normalized_row(x, y, load_i64(i + LC), load_i64(i + GAIN), load_i64(i + SHIFT), epsilon)
