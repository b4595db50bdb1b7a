"""Pools over channels-last bytes, vectors of channels in registers."""

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
WIDE = 4 * LANES


def _max_of(size):
    @intrinsic
    def step(context, x, y, kh, kw, row, tap, count):
        """The largest of a window, of `size` channels; the first `count` are stored."""

        def generate(ctx, b, sig, args):
            x, y, kh, kw, row, tap, count = args
            t = vec(I8, size)
            best = cgutils.alloca_once_value(b, const(t, 0))
            b.store(const(t, 0), best)
            with cgutils.for_range(b, kh) as r, cgutils.for_range(b, kw) as c:
                v = load_at(b, b.add(x, b.add(b.mul(r.index, row), b.mul(c.index, tap))), t)
                u = b.load(best)
                b.store(b.select(b.icmp_unsigned(">", u, v), u, v), best)
            store_first(b, y, b.load(best), count)
            return ctx.get_dummy_value()

        return types.void(*[i64] * 7), generate

    return step


max_wide, max_one = _max_of(WIDE), _max_of(LANES)


@njit(nogil=True)
def clipped(first, taps, step, size):
    """First index and number of the taps first, first + step, ... that lie in [0, size)."""
    before = 0 if first >= 0 else (-first + step - 1) // step
    inside = 0 if first >= size else (size - 1 - first) // step + 1
    return before, max(0, min(taps, inside) - before)


@njit(nogil=True)
def max_pool2d(i, share):
    """x points to the first pixel of the image."""
    n, h, w, c, kh, kw = i.N, i.H, i.W, i.C, i.KH, i.KW
    ih, iw, top, left = i.IH, i.IW, i.top, i.left
    dh, dw, sw, x_w, y_w = i.DH, i.DW, i.SW, i.x_w, i.y_w
    row, tap = i.x_h * dh, x_w * dw
    inside = left == 0 and (w - 1) * sw + (kw - 1) * dw < iw
    flat = inside and c < LANES and sw == 1 and x_w == c and y_w == c  # pixels side by side are more channels
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
            while k + WIDE <= run:
                max_wide(x + k, y + k, rows, taps, row, tap, WIDE)
                k += WIDE
            while k < run:
                max_one(x + k, y + k, rows, taps, row, tap, run - k)
                k += LANES
            y += y_w


def _mean_of(vectors):
    @intrinsic
    def step(context, x, y, rows, columns, row, tap, start, m, zero, low, high, as_float, count):
        """start + sum of a window of one or four vectors of channels, times m, as bytes or floats; the first `count`
        are stored."""

        def generate(ctx, b, sig, args):
            x, y, rows, columns, row, tap, start, m, zero, low, high, as_float, count = args
            sums = [cgutils.alloca_once(b, vec(I32, LANES)) for _ in range(vectors)]
            for acc in sums:
                b.store(splat(b, b.trunc(start, I32), LANES), acc)
            with cgutils.for_range(b, rows) as r, cgutils.for_range(b, columns) as c:
                at = b.add(x, b.add(b.mul(r.index, row), b.mul(c.index, tap)))
                for v, acc in enumerate(sums):
                    b.store(b.add(b.load(acc), widened(b, add_to(b, at, LANES * v), LANES)), acc)
            reals = [b.fmul(b.sitofp(b.load(acc), vec(F32, LANES)), splat(b, m, LANES)) for acc in sums]
            with b.if_else(b.icmp_signed("!=", as_float, ir.Constant(I64, 0))) as (floats, bytes_):
                with floats:
                    store_first(b, y, joined(b, reals), b.mul(count, ir.Constant(I64, 4)))
                with bytes_:
                    packed = requantize(b, (reals * 4)[:4], zero, low, high)
                    store_first(b, y, part(b, packed, 0, LANES * vectors), count)
            return ctx.get_dummy_value()

        return types.void(*[i64] * 7, f32, *[i64] * 5), generate

    return step


def avg_pool(vectors):
    """The kernel that takes one vector of channels at a time, or four: each of its taps is then a whole line of the
    cache."""
    step, width = _mean_of(vectors), vectors * LANES

    @njit(nogil=True)
    def kernel(i, share):
        """x points to the first pixel of the unpadded image. Work is cut by output pixel, or, where that is one, by
        channels."""
        n, h, w, c, kh, kw = i.N, i.H, i.W, i.C, i.KH, i.KW
        ih, iw, xz, as_float = i.IH, i.IW, i.x_zero, i.y_f32
        ratio, z, lo, hi = i.f_ratio, i.zero, i.low, i.high
        dh, dw, size = i.DH, i.DW, 4 if as_float else 1
        row, tap = i.x_h * dh, i.x_w * dw
        pixels, blocks = n * h * w, (c + width - 1) // width
        first, end, block0, block1 = part_of_either(share, pixels, blocks, pixels < share.pieces)
        for item in range(first, end):
            image, rest = item // (h * w), item % (h * w)
            oh, ow = rest // w, rest % w
            top, left = oh * i.SH - i.top, ow * i.SW - i.left
            r0, rows = clipped(top, kh, dh, ih)
            c0, columns = clipped(left, kw, dw, iw)
            x = i.x + image * i.x_n + (top + r0 * dh) * i.x_h + (left + c0 * dw) * i.x_w
            y = i.y + image * i.y_n + oh * i.y_h + ow * i.y_w
            count = kh * kw if i.include else max(1, rows * columns)
            m = ratio / f32(count)
            for block in range(block0, block1):
                k = block * width
                step(x + k, y + k * size, rows, columns, row, tap, -xz * rows * columns, m, z, lo, hi, as_float, c - k)

    return kernel


avg_one, avg_four = avg_pool(1), avg_pool(4)
