"""What calibration records of a float tensor, in two passes: the range and the sum of each row, then a histogram."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import njit
from .memory import load_i32, load_i64, store_i32, store_i64
from .sizes import BINS, BLOCK, TABLES
from .vector import F32, I32, call, const, load_at, splat, store_at, vec
from .vector_loops import SUMS, floats, halves, masked

i64 = types.int64
F64 = ir.DoubleType()


@intrinsic
def row_range(context, x, count, low, high, total):
    """Least and largest float32, and the sum in float64: SUMS sums of every SUMS-th element, whose halves are added."""

    def generate(ctx, b, sig, args):
        x, count, low, high, total = args
        t, wide = vec(F32, SUMS), vec(F64, SUMS)
        least, largest = (cgutils.alloca_once_value(b, const(t, s * float("inf"))) for s in (1, -1))
        sums = cgutils.alloca_once_value(b, const(wide, 0.0))

        def visit(at, v, mask):
            for best, sign in ((least, "<"), (largest, ">")):
                new = v if mask is None else b.select(mask, v, b.load(best))
                b.store(b.select(b.fcmp_ordered(sign, new, b.load(best)), new, b.load(best)), best)
            real = b.fpext(v, wide)
            b.store(b.fadd(b.load(sums), masked(b, real, mask)), sums)

        floats(b, x, count, visit)
        for best, sign, to in ((least, "<", low), (largest, ">", high)):
            store_at(b, to, halves(b, b.load(best), lambda p, q, sign=sign: b.select(b.fcmp_ordered(sign, p, q), p, q)))
        store_at(b, total, halves(b, b.load(sums), b.fadd))
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64), generate


@njit(nogil=True)
def row_ranges(x, rows, count, low, high, total):
    """x: float32 [rows, count]; low, high: float32 [rows]; total: float64 [rows], not finite where an element is
    not."""
    for r in range(rows):
        row_range(x + 4 * r * count, count, low + 4 * r, high + 4 * r, total + 8 * r)


@intrinsic
def add_pixel(context, x, count, low, high, total):
    """One pixel's channels into the least, the largest and the sum of each."""

    def generate(ctx, b, sig, args):
        x, count, low, high, total = args
        t, wide = vec(F32, SUMS), vec(F64, SUMS)

        def visit(at, v, mask):
            for to, sign in ((low, "<"), (high, ">")):
                best = load_at(b, b.add(to, at), t)
                store_at(b, b.add(to, at), b.select(b.fcmp_ordered(sign, v, best), v, best))
            to = b.add(total, b.add(at, at))
            store_at(b, to, b.fadd(load_at(b, to, wide), b.fpext(v, wide)))

        floats(b, x, count, visit)
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64), generate


@njit(nogil=True)
def pixel_ranges(x, rows, row, columns, column, count, low, high, total):
    """x: float32 [rows, columns, count], channels side by side; row, column: bytes from one to the next. low, high:
    float32, total: float64, [count] and room for a whole last vector; they hold infinity, -infinity and 0 before.
    """
    for r in range(rows):
        for c in range(columns):
            add_pixel(x + r * row + c * column, count, low, high, total)


@intrinsic
def bins_of(context, x, scale, to):
    """floor(x scale) + BINS / 2 of BLOCK floats, within the bins; exact, in float64."""

    def generate(ctx, b, sig, args):
        x, scale, to = args
        wide, ints = vec(F64, BLOCK), vec(I32, BLOCK)
        real = b.fmul(b.fpext(load_at(b, x, vec(F32, BLOCK)), wide), splat(b, load_at(b, scale, F64), BLOCK))
        index = b.add(b.fptosi(call(b, f"llvm.floor.v{BLOCK}f64", wide, real), ints), const(ints, BINS // 2))
        index = b.select(b.icmp_signed(">", index, const(ints, 0)), index, const(ints, 0))
        store_at(b, to, b.select(b.icmp_signed("<", index, const(ints, BINS - 1)), index, const(ints, BINS - 1)))
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64), generate


@njit(nogil=True)
def count_run(x, count, scale, scratch):
    """Add the elements of float32 x [count] to the tables of int32 in scratch."""
    bins, full = scratch + 4 * TABLES * BINS, count - count % BLOCK
    for k in range(0, full, BLOCK):
        bins_of(x + 4 * k, scale, bins)
        for j in range(BLOCK):
            at = scratch + 4 * (load_i32(bins + 4 * j) + j % TABLES * BINS)
            store_i32(at, load_i32(at) + 1)
    if full < count:
        bins_of(x + 4 * full, scale, bins)
        for j in range(count - full):
            at = scratch + 4 * (load_i32(bins + 4 * j) + j % TABLES * BINS)
            store_i32(at, load_i32(at) + 1)


@njit(nogil=True)
def count_bins(x, rows, row, columns, column, count, scale, histogram, scratch):
    """Add float32 x [rows, columns, count] to histogram int64 [BINS]. row, column: bytes from one to the next. scale:
    address of a float64, BINS / 2 / reach. scratch: int32 [TABLES * BINS + BLOCK], zeros before and after.
    """
    for r in range(rows):
        for c in range(columns):
            count_run(x + r * row + c * column, count, scale, scratch)
    for k in range(BINS):
        total = load_i64(histogram + 8 * k)
        for table in range(TABLES):
            at = scratch + 4 * (k + table * BINS)
            total += load_i32(at)
            store_i32(at, 0)
        store_i64(histogram + 8 * k, total)


EXPORTED = {"row_ranges": (row_ranges, 6), "pixel_ranges": (pixel_ranges, 9), "count_bins": (count_bins, 9)}
