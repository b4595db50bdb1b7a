"""Pools over channels-last pixels, vectors of channels in registers: the ways over an image that all dtypes go, and the
kernels of bytes. x of an instruction points to the first pixel of the unpadded image."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import njit
from .split import part_of, part_of_either, row_at
from .target import ISA
from .vector import F32, I8, I32, I64, add_to, const, joined, load_at, part, requantize, splat, vec, widened
from .vector_loops import store_first

f32, i64 = types.float32, types.int64
LANES = ISA.lanes
WIDE = 4  # vectors of channels at once


@njit(nogil=True)
def clipped(first, taps, step, size):
    """First index and number of the taps first, first + step, ... that lie in [0, size)."""
    before = 0 if first >= 0 else (-first + step - 1) // step
    inside = 0 if first >= size else (size - 1 - first) // step + 1
    return before, max(0, min(taps, inside) - before)


def _largest(element, item, least, larger, size):
    @intrinsic
    def step(context, x, y, kh, kw, row, tap, count):
        """The largest of a window, of `size` channels; the first `count` are stored."""

        def generate(ctx, b, sig, args):
            x, y, kh, kw, row, tap, count = args
            t = vec(element, size)
            best = cgutils.alloca_once_value(b, const(t, least))
            b.store(const(t, least), best)
            with cgutils.for_range(b, kh) as r, cgutils.for_range(b, kw) as c:
                v = load_at(b, b.add(x, b.add(b.mul(r.index, row), b.mul(c.index, tap))), t)
                u = b.load(best)
                b.store(b.select(larger(b, u, v), u, v), best)
            store_first(b, y, b.load(best), b.mul(count, ir.Constant(I64, item)))
            return ctx.get_dummy_value()

        return types.void(*[i64] * 7), generate

    return step


def max_pool(element, item, least, larger):
    """The kernel of the largest of integers of `item` bytes, of which `least` is the least; larger(b, u, v): u > v."""
    many, one = (_largest(element, item, least, larger, size) for size in (WIDE * LANES, LANES))

    @njit(nogil=True)
    def kernel(i, share):
        n, h, w, c, kh, kw = i.N, i.H, i.W, i.C, i.KH, i.KW
        ih, iw, top, left = i.IH, i.IW, i.top, i.left
        dh, dw, sw, x_w, y_w = i.DH, i.DW, i.SW, i.x_w, i.y_w
        row, tap = i.x_h * dh, x_w * dw
        inside = left == 0 and (w - 1) * sw + (kw - 1) * dw < iw
        flat = inside and c < LANES and sw == 1 and x_w == c * item and y_w == x_w  # pixels as more channels
        run, columns = (w * c, 1) if flat else (c, w)
        row0, row1 = part_of(share, n * h)
        for r in range(row0, row1):
            first = r % h * i.SH - top
            r0, rows = clipped(first, kh, dh, ih)
            line = i.x + r // h * i.x_n + (first + r0 * dh) * i.x_h
            y = row_at(i.y, i.y_n, i.y_h, r, h)
            for col in range(columns):
                at, taps = col * sw - left, kw
                if not inside:
                    c0, taps = clipped(at, kw, dw, iw)
                    at += c0 * dw
                x, k = line + at * x_w, 0
                while k + WIDE * LANES <= run:
                    many(x + k * item, y + k * item, rows, taps, row, tap, WIDE * LANES)
                    k += WIDE * LANES
                while k < run:
                    one(x + k * item, y + k * item, rows, taps, row, tap, run - k)
                    k += LANES
                y += y_w

    return kernel


def of_windows(many, one, x_item, y_item, scalars):
    """The kernel of a function of windows: many = (vectors, step) and one = (vectors, step) for what is left.

    A step takes x, y, the rows and columns of a window that lie in the image, the bytes from one to the next, the
    number of the first tap, the taps of a row of the window, how many channels are there, and scalars(i, taps that
    count, taps inside). y_item(i): bytes of an element of y. Work is cut by output pixel, or, where these are few, by
    channels.
    """
    (wide, many), (narrow, one) = (many[0] * LANES, many[1]), (one[0] * LANES, one[1])

    @njit(nogil=True)
    def kernel(i, share):
        n, h, w, c, kh, kw = i.N, i.H, i.W, i.C, i.KH, i.KW
        ih, iw, dh, dw, size = i.IH, i.IW, i.DH, i.DW, y_item(i)
        row, tap = i.x_h * dh, i.x_w * dw
        pixels, blocks = n * h * w, (c + narrow - 1) // narrow
        first, last, block0, block1 = part_of_either(share, pixels, blocks, pixels < share.pieces)
        end = min(c, block1 * narrow)
        sw, before, x_w = i.SW, i.left, i.x_w
        ow = first % w - 1
        image, oh, r0, rows, top = 0, 0, 0, 0, 0
        for item in range(first, last):
            ow += 1
            if ow == w or item == first:
                ow = item % w
                image, oh = item // (h * w), item // w % h
                top = oh * i.SH - i.top
                r0, rows = clipped(top, kh, dh, ih)
            left = ow * sw - before
            c0, columns = 0, kw
            if left < 0 or left + (kw - 1) * dw >= iw:
                c0, columns = clipped(left, kw, dw, iw)
            x = i.x + image * i.x_n + (top + r0 * dh) * i.x_h + (left + c0 * dw) * x_w
            y = i.y + image * i.y_n + oh * i.y_h + ow * i.y_w
            values = scalars(i, kh * kw if i.include else max(1, rows * columns), rows * columns)
            k, tap0 = block0 * narrow, r0 * kw + c0
            while k < end:
                if k + wide <= end:
                    many(x + x_item * k, y + size * k, rows, columns, row, tap, tap0, kw, wide, values)
                    k += wide
                else:
                    one(x + x_item * k, y + size * k, rows, columns, row, tap, tap0, kw, end - k, values)
                    k += narrow

    return kernel


def mean_of(vectors, read, item, store):
    """A step that multiplies the sums of integers: values are what a sum begins with, the factor, and what `store`
    takes. read(b, address): a vector of LANES as int32. item: bytes of each. store(b, y, real vectors, values,
    count)."""

    @intrinsic
    def step(context, x, y, rows, columns, row, tap, first, width, count, values):
        def generate(ctx, b, sig, args):
            x, y, rows, columns, row, tap, _, _, count, values = args
            start, m, *limits = cgutils.unpack_tuple(b, values)
            sums = [cgutils.alloca_once(b, vec(I32, LANES)) for _ in range(vectors)]
            for acc in sums:
                b.store(splat(b, b.trunc(start, I32), LANES), acc)
            with cgutils.for_range(b, rows) as r, cgutils.for_range(b, columns) as c:
                at = b.add(x, b.add(b.mul(r.index, row), b.mul(c.index, tap)))
                for v, acc in enumerate(sums):
                    b.store(b.add(b.load(acc), read(b, add_to(b, at, item * LANES * v))), acc)
            reals = [b.fmul(b.sitofp(b.load(acc), vec(F32, LANES)), splat(b, m, LANES)) for acc in sums]
            store(b, y, reals, limits, count)
            return ctx.get_dummy_value()

        return types.void(*[i64] * 9, values), generate

    return step


def _stored(b, y, reals, limits, count):
    """As bytes, or as floats."""
    *limits, as_float = limits
    with b.if_else(b.icmp_signed("!=", as_float, ir.Constant(I64, 0))) as (floats, bytes_):
        with floats:
            store_first(b, y, joined(b, reals), b.mul(count, ir.Constant(I64, 4)))
        with bytes_:
            packed = requantize(b, (reals * 4)[:4], *limits)
            store_first(b, y, part(b, packed, 0, LANES * len(reals)), count)


@njit(nogil=True)
def _item(i):
    return 4 if i.y_f32 else 1


@njit(nogil=True)
def _mean(i, taps, inside):
    return -i.x_zero * inside, i.f_ratio / f32(taps), i.zero, i.low, i.high, i.y_f32


def avg_pool(vectors):
    """The kernel that takes one vector of channels at a time, or four: each of its taps is then a whole line of the
    cache."""
    step = mean_of(vectors, lambda b, at: widened(b, at, LANES), 1, _stored)
    return of_windows((vectors, step), (vectors, step), 1, _item, _mean)


max_pool2d = max_pool(I8, 1, 0, lambda b, u, v: b.icmp_unsigned(">", u, v))
avg_one, avg_four = avg_pool(1), avg_pool(WIDE)
