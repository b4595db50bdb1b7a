"""Pools over channels-last bytes, vectors of channels in registers."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import njit
from .memory import load_f32, load_i64, words
from .table import kernel
from .target import ISA
from .vector import F32, I8, I32, I64, const, load_at, part, requantize, splat, vec, widened
from .vector_loops import store_first

f32, i64 = types.float32, types.int64
LANES = ISA.lanes
WIDE = 4 * LANES
NAMES = "x y N H W C x_n x_h x_w y_n y_h y_w KH KW SH SW DH DW"
X, Y, N, H, W, C, XN, XH, XW, YN, YH, YW, KH, KW, SH, SW, DH, DW = words("max_pool2d", NAMES)
M_IH, M_IW, M_TOP, M_LEFT = words("max_pool2d", "IH IW top left")


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


@kernel("max_pool2d")
@njit(nogil=True)
def max_pool2d(i, arena, constants, thread, threads):
    """x points to the first pixel of the image."""
    n, h, w, c, kh, kw = load_i64(i + N), load_i64(i + H), load_i64(i + W), load_i64(i + C), load_i64(i + KH), load_i64(i + KW)
    ih, iw, top, left = load_i64(i + M_IH), load_i64(i + M_IW), load_i64(i + M_TOP), load_i64(i + M_LEFT)
    dh, dw, sw, x_w, y_w = load_i64(i + DH), load_i64(i + DW), load_i64(i + SW), load_i64(i + XW), load_i64(i + YW)
    row, tap = load_i64(i + XH) * dh, x_w * dw
    inside = left == 0 and (w - 1) * sw + (kw - 1) * dw < iw
    flat = inside and c < LANES and sw == 1 and x_w == c and y_w == c  # pixels side by side are more channels
    run, columns = (w * c, 1) if flat else (c, w)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        first = r % h * load_i64(i + SH) - top
        r0, rows = clipped(first, kh, dh, ih)
        line = load_i64(i + X) + r // h * load_i64(i + XN) + (first + r0 * dh) * load_i64(i + XH)
        y = load_i64(i + Y) + r // h * load_i64(i + YN) + r % h * load_i64(i + YH)
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


(AX, AY, AN, AH, AW, AC, AXN, AXH, AXW, AYN, AYH, AYW, AKH, AKW, ASH, ASW, ADH, ADW) = words("avg_pool2d", NAMES)
IH, IW, TOP, LEFT, INCLUDE, XZ, RATIO, Z, LO, HI, YF = words("avg_pool2d", "IH IW top left include x_zero f_ratio zero low high y_f32")


@intrinsic
def mean_step(context, x, y, rows, columns, row, tap, start, m, zero, low, high, as_float, count):
    """start + sum of a window of LANES channels, times m, as bytes or floats; the first `count` are stored."""

    def generate(ctx, b, sig, args):
        x, y, rows, columns, row, tap, start, m, zero, low, high, as_float, count = args
        t = vec(I32, LANES)
        acc = cgutils.alloca_once(b, t)
        b.store(splat(b, b.trunc(start, I32), LANES), acc)
        with cgutils.for_range(b, rows) as r, cgutils.for_range(b, columns) as c:
            at = b.add(x, b.add(b.mul(r.index, row), b.mul(c.index, tap)))
            b.store(b.add(b.load(acc), widened(b, at, LANES)), acc)
        real = b.fmul(b.sitofp(b.load(acc), vec(F32, LANES)), splat(b, m, LANES))
        with b.if_else(b.icmp_signed("!=", as_float, ir.Constant(I64, 0))) as (floats, bytes_):
            with floats:
                store_first(b, y, real, b.mul(count, ir.Constant(I64, 4)))
            with bytes_:
                store_first(b, y, part(b, requantize(b, [real] * 4, zero, low, high), 0, LANES), count)
        return ctx.get_dummy_value()

    return types.void(*[i64] * 7, f32, *[i64] * 5), generate


@kernel("avg_pool2d")
@njit(nogil=True)
def avg_pool2d(i, arena, constants, thread, threads):
    """x points to the first pixel of the unpadded image. Work is cut by output pixel, or, where that is one, by channels."""
    n, h, w, c, kh, kw = load_i64(i + AN), load_i64(i + AH), load_i64(i + AW), load_i64(i + AC), load_i64(i + AKH), load_i64(i + AKW)
    ih, iw, xz, as_float = load_i64(i + IH), load_i64(i + IW), load_i64(i + XZ), load_i64(i + YF)
    ratio, z, lo, hi = load_f32(i + RATIO), load_i64(i + Z), load_i64(i + LO), load_i64(i + HI)
    dh, dw, size = load_i64(i + ADH), load_i64(i + ADW), 4 if as_float else 1
    row, tap = load_i64(i + AXH) * dh, load_i64(i + AXW) * dw
    pixels, blocks = n * h * w, (c + LANES - 1) // LANES
    by_pixels = pixels >= threads
    first, last = (pixels * thread // threads, pixels * (thread + 1) // threads) if by_pixels else (0, pixels)
    block0, block1 = (0, blocks) if by_pixels else (blocks * thread // threads, blocks * (thread + 1) // threads)
    for item in range(first, last):
        image, rest = item // (h * w), item % (h * w)
        oh, ow = rest // w, rest % w
        top, left = oh * load_i64(i + ASH) - load_i64(i + TOP), ow * load_i64(i + ASW) - load_i64(i + LEFT)
        r0, rows = clipped(top, kh, dh, ih)
        c0, columns = clipped(left, kw, dw, iw)
        x = load_i64(i + AX) + image * load_i64(i + AXN) + (top + r0 * dh) * load_i64(i + AXH) + (left + c0 * dw) * load_i64(i + AXW)
        y = load_i64(i + AY) + image * load_i64(i + AYN) + oh * load_i64(i + AYH) + ow * load_i64(i + AYW)
        count = kh * kw if load_i64(i + INCLUDE) else max(1, rows * columns)
        m = ratio / f32(count)
        for block in range(block0, block1):
            k = block * LANES
            mean_step(x + k, y + k * size, rows, columns, row, tap, -xz * rows * columns, m, z, lo, hi, as_float, c - k)
