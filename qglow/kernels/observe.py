"""What calibration records of a float tensor, in one pass: least, largest and sum of each row or channel, the sum of
what is above 0, and a histogram, which may have other bins above 0 than below: a tensor and its Relu are one pass.

A strip is a run of vectors of SUMS floats at equal distances: of a row they follow each other; of an image whose
channels lie side by side they are the same channels of neighbouring pixels. Elements are counted in TABLES tables of
int32, lane by lane in turns, which `add_counts` adds to a histogram or throws away.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import njit
from .sizes import BINS, TABLES
from .vector import F32, I8, I32, I64, call, clamp, const, load_at, splat, store_at, vec
from .vector_loops import SUMS, halves, masked

i64 = types.int64
F64 = ir.DoubleType()
BELOW = -(2.0**-24)  # between -1 and 0: a negative number that times the scale is less than any float32
FLOATS, DOUBLES, COUNTS = vec(F32, SUMS), vec(F64, SUMS), vec(I32, SUMS)


@intrinsic
def start_strip(context, low, high, total, above):
    """Infinity, -infinity and 0 to the vectors of a strip."""

    def generate(ctx, b, sig, args):
        for to, t, value in zip(args, (FLOATS, FLOATS, DOUBLES, DOUBLES), (float("inf"), -float("inf"), 0.0, 0.0)):
            store_at(b, to, const(t, value))
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64), generate


@intrinsic
def end_strip(context, low, high, total, above, low_to, high_to, total_to, above_to):
    """The least, the largest and the sums of a strip's lanes, whose halves are combined."""

    def generate(ctx, b, sig, args):
        low, high, total, above, low_to, high_to, total_to, above_to = args
        for at, to, sign in ((low, low_to, "<"), (high, high_to, ">")):
            v = load_at(b, at, FLOATS)
            store_at(b, to, halves(b, v, lambda p, q, sign=sign: b.select(b.fcmp_ordered(sign, p, q), p, q)))
        for at, to in ((total, total_to), (above, above_to)):
            store_at(b, to, halves(b, load_at(b, at, DOUBLES), b.fadd))
        return ctx.get_dummy_value()

    return types.void(*[i64] * 8), generate


@intrinsic
def observe_strip(context, x, steps, step, lanes, scale, scratch, low, high, total, above):
    """Take `steps` vectors, `step` bytes from one to the next, of which the first `lanes` elements count, into the
    vectors at low, high (float32), total and above (float64), and their bins into the tables of scratch."""

    def generate(ctx, b, sig, args):
        x, steps, step, lanes, scale, scratch, *ends = args
        factors = [splat(b, load_at(b, b.add(scale, ir.Constant(I64, 4 * k)), F32), SUMS) for k in range(2)]
        is_full = b.icmp_signed(">=", lanes, ir.Constant(I64, SUMS))
        order = ir.Constant(vec(I8, SUMS), list(range(SUMS)))
        with b.if_else(is_full) as (full, partly):
            with full:
                _strip(b, x, steps, step, None, None, factors, scratch, ends)
            with partly:
                mask = b.icmp_unsigned("<", order, splat(b, b.trunc(lanes, I8), SUMS))
                _strip(b, x, steps, step, lanes, mask, factors, scratch, ends)
        return ctx.get_dummy_value()

    return types.void(*[i64] * 10), generate


def _strip(b, x, steps, step, lanes, mask, factors, scratch, ends):
    found = [cgutils.alloca_once_value(b, load_at(b, at, t)) for at, t in zip(ends, (FLOATS, FLOATS, DOUBLES, DOUBLES))]
    least, largest, *sums = found
    bins = b.add(scratch, ir.Constant(I64, 4 * TABLES * BINS))
    with cgutils.for_range(b, steps) as loop:
        v = load_at(b, b.add(x, b.mul(loop.index, step)), FLOATS)
        for best, sign in ((least, "<"), (largest, ">")):
            known = b.load(best)
            new = b.select(b.fcmp_ordered(sign, v, known), v, known)
            b.store(new if mask is None else b.select(mask, new, known), best)
        is_below = b.fcmp_ordered("<", v, const(FLOATS, 0.0))
        for to, term in zip(sums, (v, b.select(is_below, const(FLOATS, 0.0), v))):
            b.store(b.fadd(b.load(to), masked(b, b.fpext(term, DOUBLES), mask)), to)
        _count(b, _bins_of(b, v, is_below, factors), lanes, scratch, bins)
    for best, at in zip(found, ends):
        store_at(b, at, b.load(best))


def _bins_of(b, v, is_below, factors):
    """floor(v factor) + BINS / 2 as int32, within the bins; NaN is in the first.

    factors: below 0 and from 0 on, powers of two, so that the product is exact; one too small for float32 is as a
    negative number above -1.
    """
    y = b.fmul(v, b.select(is_below, *factors))
    small = b.select(b.fcmp_ordered("<", y, const(FLOATS, BELOW)), y, const(FLOATS, BELOW))
    y = b.select(is_below, small, y)
    y = clamp(b, y, const(FLOATS, -BINS / 2), const(FLOATS, BINS / 2 - 1))
    return b.add(b.fptosi(call(b, f"llvm.floor.v{SUMS}f32", FLOATS, y), COUNTS), const(COUNTS, BINS // 2))


def _count(b, index, lanes, scratch, bins):
    """Add one to the count of each bin of a vector, or of its first lanes."""

    def increase(place, table):
        at = b.add(b.add(scratch, b.shl(place, ir.Constant(I64, 2))), table)
        store_at(b, at, b.add(load_at(b, at, I32), ir.Constant(I32, 1)))

    def increase_some(first, count):
        for k in range(first, first + count, 2):  # NOTE: two of them in one load
            pair = load_at(b, b.add(bins, ir.Constant(I64, 4 * k)), I64)
            increase(b.and_(pair, ir.Constant(I64, 0xFFFFFFFF)), ir.Constant(I64, 4 * BINS * (k % TABLES)))
            increase(b.lshr(pair, ir.Constant(I64, 32)), ir.Constant(I64, 4 * BINS * ((k + 1) % TABLES)))

    store_at(b, bins, index)
    if lanes is None:
        increase_some(0, SUMS)
        return
    half = ir.Constant(I64, SUMS // 2)
    first = b.and_(lanes, half)
    with b.if_then(b.icmp_signed("==", first, half)):
        increase_some(0, SUMS // 2)
    with cgutils.for_range_slice(b, first, lanes, ir.Constant(I64, 1), I64) as (k, _):
        place = b.zext(load_at(b, b.add(bins, b.shl(k, ir.Constant(I64, 2))), I32), I64)
        table = b.and_(k, ir.Constant(I64, TABLES - 1))
        increase(place, b.mul(table, ir.Constant(I64, 4 * BINS)))


@njit(nogil=True)
def observe_rows(x, rows, count, scale, low, high, total, above, scratch):
    """x: float32 [rows, count]; low, high: float32 [rows]; total, above: float64 [rows], not finite where an element is
    not, SUMS sums of every SUMS-th element and of every SUMS-th that is not below 0, whose halves are added. scale:
    address of two float32, BINS / 2 / reach, of the bins below 0 and from 0 on. scratch: int32 [TABLES * BINS + BLOCK],
    counts in its tables; BLOCK is a strip's bins and its low, high, total and above.
    """
    least = scratch + 4 * (TABLES * BINS + SUMS)
    largest, sums, upper = least + 4 * SUMS, least + 8 * SUMS, least + 16 * SUMS
    for r in range(rows):
        start_strip(least, largest, sums, upper)
        at, full_steps = x + 4 * r * count, count // SUMS
        observe_strip(at, full_steps, 4 * SUMS, SUMS, scale, scratch, least, largest, sums, upper)
        if full_steps * SUMS < count:
            rest = count - full_steps * SUMS
            observe_strip(at + 4 * SUMS * full_steps, 1, 0, rest, scale, scratch, least, largest, sums, upper)
        end_strip(least, largest, sums, upper, low + 4 * r, high + 4 * r, total + 8 * r, above + 8 * r)


@njit(nogil=True)
def observe_pixels(x, rows, row, columns, column, count, scale, low, high, total, above, scratch):
    """x: float32 [rows, columns, count], channels side by side; row, column: bytes from one to the next. low, high:
    float32, total, above: float64, [count] and room for a whole last vector; they hold infinity, -infinity and 0
    before. scale, scratch: of `observe_rows`.
    """
    for r in range(rows):
        for k in range(0, count, SUMS):
            at, lanes = x + r * row + 4 * k, min(SUMS, count - k)
            lows, highs, sums, upper = low + 4 * k, high + 4 * k, total + 8 * k, above + 8 * k
            observe_strip(at, columns, column, lanes, scale, scratch, lows, highs, sums, upper)


@intrinsic
def add_tables(context, histogram, scratch):
    """Add the tables to int64 [BINS], where that is not at 0, and clear them."""

    def generate(ctx, b, sig, args):
        histogram, scratch = args
        wanted = b.icmp_signed("!=", histogram, ir.Constant(I64, 0))
        with cgutils.for_range(b, ir.Constant(I64, BINS // SUMS)) as loop:
            at = b.add(scratch, b.mul(loop.index, ir.Constant(I64, 4 * SUMS)))
            found = const(COUNTS, 0)
            for table in range(TABLES):
                here = b.add(at, ir.Constant(I64, 4 * BINS * table))
                found = b.add(found, load_at(b, here, COUNTS))
                store_at(b, here, const(COUNTS, 0))
            with b.if_then(wanted):
                to = b.add(histogram, b.mul(loop.index, ir.Constant(I64, 8 * SUMS)))
                store_at(b, to, b.add(load_at(b, to, vec(I64, SUMS)), b.zext(found, vec(I64, SUMS))))
        return ctx.get_dummy_value()

    return types.void(i64, i64), generate


@njit(nogil=True)
def add_counts(histogram, scratch):
    """Add what scratch counted to histogram int64 [BINS] and clear it; only clear it where the histogram's address is
    0."""
    add_tables(histogram, scratch)


EXPORTED = {"observe_rows": (observe_rows, 9), "observe_pixels": (observe_pixels, 12), "add_counts": (add_counts, 2)}
