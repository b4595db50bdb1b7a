"""Pools and linear resampling of channels-last floats: vectors of channels in registers, taps one after the other."""

from __future__ import annotations

from functools import partial

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..instructions.table import FLOAT_REDUCE
from ..reference.float_sums import BLOCK
from .float_sums import Totals
from .floats import larger
from .jit import njit
from .memory import load_f32, load_i32
from .pool import of_windows
from .split import part_of, row_at
from .target import ISA
from .vector import F32, I64, add_to, const, load_at, splat, store_at, vec
from .vector_loops import store_first

f32, i64 = types.float32, types.int64
LANES = ISA.lanes
MANY = 4  # vectors of channels at once, whose sums do not wait for each other
MEAN = FLOAT_REDUCE.index("Mean")


def _window(is_max, vectors):
    @intrinsic
    def step(context, x, y, rows, columns, row, tap, first, width, count, divisor):
        """The largest, or the sum by a divisor, of each of some vectors of channels; the first `count` of a single one
        are stored."""

        def generate(ctx, b, sig, args):
            x, y, rows, columns, row, tap, _, _, count, values = args
            divisor = cgutils.unpack_tuple(b, values)[0]
            t = vec(F32, LANES)
            start = const(t, float("-inf") if is_max else 0.0)
            acc = [cgutils.alloca_once_value(b, start) for _ in range(vectors)]
            for a in acc:
                b.store(start, a)
            with cgutils.for_range(b, rows) as r, cgutils.for_range(b, columns) as c:
                at = b.add(x, b.add(b.mul(r.index, row), b.mul(c.index, tap)))
                for v, a in enumerate(acc):
                    value = load_at(b, add_to(b, at, 4 * LANES * v), t)
                    b.store(larger(b, b.load(a), value) if is_max else b.fadd(b.load(a), value), a)
            for v, a in enumerate(acc):
                value = b.load(a) if is_max else b.fdiv(b.load(a), splat(b, divisor, LANES))
                if vectors == 1:
                    store_first(b, y, value, b.shl(count, ir.Constant(I64, 2)))
                else:
                    store_at(b, add_to(b, y, 4 * LANES * v), value)
            return ctx.get_dummy_value()

        return types.void(*[i64] * 9, divisor), generate

    return step


def _long_window(vectors):
    @intrinsic
    def step(context, x, y, rows, columns, row, tap, first, width, count, divisor):
        """`_window`'s sum of windows of more than BLOCK taps: tap k of a window's row r is number first + r width + k,
        by which blocks end."""

        def generate(ctx, b, sig, args):
            x, y, rows, columns, row, tap, first, width, count, values = args
            divisor = cgutils.unpack_tuple(b, values)[0]
            t, block, one = vec(F32, LANES), ir.Constant(I64, BLOCK), ir.Constant(I64, 1)
            sums = Totals(b, vectors, LANES)
            last = cgutils.alloca_once_value(b, ir.Constant(I64, 0))  # the block that the chains are in
            b.store(ir.Constant(I64, 0), last)
            with cgutils.for_range(b, rows) as r:
                start = b.add(first, b.mul(r.index, width))
                end, block0 = b.add(start, columns), b.sdiv(start, block)
                with cgutils.for_range(b, b.add(b.sub(b.sdiv(b.sub(end, one), block), block0), one)) as part:
                    here = b.add(block0, part.index)
                    with b.if_then(b.icmp_signed("!=", here, b.load(last))):
                        sums.end_block(b)
                        b.store(here, last)
                    edge, next_edge = b.mul(here, block), b.mul(b.add(here, one), block)
                    k = b.select(b.icmp_signed(">", start, edge), start, edge)
                    stop = b.select(b.icmp_signed("<", end, next_edge), end, next_edge)
                    at = b.add(x, b.add(b.mul(r.index, row), b.mul(b.sub(k, start), tap)))
                    with cgutils.for_range(b, b.sub(stop, k)) as c:
                        for v, chain in enumerate(sums.chains):
                            value = load_at(b, add_to(b, b.add(at, b.mul(c.index, tap)), 4 * LANES * v), t)
                            b.store(b.fadd(b.load(chain), value), chain)
            sums.end_block(b)
            for v, total in enumerate(sums.rounded(b)):
                value = b.fdiv(total, splat(b, divisor, LANES))
                if vectors == 1:
                    store_first(b, y, value, b.shl(count, ir.Constant(I64, 2)))
                else:
                    store_at(b, add_to(b, y, 4 * LANES * v), value)
            return ctx.get_dummy_value()

        return types.void(*[i64] * 9, divisor), generate

    return step


@njit(nogil=True)
def _item(i):
    return 4


@njit(nogil=True)
def _divisor(i, taps, inside):
    return (f32(taps) if i.op == MEAN else f32(1.0),)


def pool(window):
    """The kernel of windows of MANY vectors, or one: window(vectors)."""
    return of_windows((MANY, window(MANY)), (1, window(1)), 4, _item, _divisor)


pool_max, pool_sum, pool_long_sum = pool(partial(_window, True)), pool(partial(_window, False)), pool(_long_window)


@intrinsic
def mix(context, x00, x01, x10, x11, u, t, y, count):
    """Four taps of LANES channels: x00 and x10 of one column, by u, and the columns by t."""

    def generate(ctx, b, sig, args):
        *taps, u, t, y, count = args
        v = [load_at(b, a, vec(F32, LANES)) for a in taps]

        def between(low, high, weight):
            zero, one = ir.Constant(F32, 0.0), ir.Constant(F32, 1.0)
            sum_ = b.fadd(b.fmul(low, splat(b, b.fsub(one, weight), LANES)), b.fmul(high, splat(b, weight, LANES)))
            return b.select(b.fcmp_ordered("==", weight, zero), low, sum_)

        mixed = between(between(v[0], v[2], u), between(v[1], v[3], u), t)
        store_first(b, y, mixed, b.shl(count, ir.Constant(I64, 2)))
        return ctx.get_dummy_value()

    return types.void(*[i64] * 4, f32, f32, i64, i64), generate


@njit(nogil=True)
def float_resize(i, share):
    n, h, w, c = i.N, i.H, i.W, i.C
    rows, columns, x_h, x_w = i.rows, i.columns, i.x_h, i.x_w
    first, end = part_of(share, n * h)
    for item in range(first, end):
        image, oh = item // h, item % h
        x, y = i.x + image * i.x_n, row_at(i.y, i.y_n, i.y_h, item, h)
        low, high = x + load_i32(rows + 4 * oh) * x_h, x + load_i32(rows + 4 * (h + oh)) * x_h
        u = load_f32(rows + 4 * (2 * h + oh))
        for ow in range(w):
            left, right = load_i32(columns + 4 * ow) * x_w, load_i32(columns + 4 * (w + ow)) * x_w
            t = load_f32(columns + 4 * (2 * w + ow))
            for k in range(0, c, LANES):
                at = 4 * k
                mix(low + left + at, low + right + at, high + left + at, high + right + at, u, t, y + at, c - k)
            y += i.y_w
