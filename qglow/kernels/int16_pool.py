"""Pools over channels-last int16, a vector of channels in registers."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .int16_vector import BYTE, FLOAT, LANES, SHORT, shorts, splats, stored
from .jit import njit
from .pool import clipped
from .split import part_of, part_of_either, row_at
from .vector import F32, I16, I32, I64, const, load_at, splat, vec
from .vector_loops import store_first

f32, i64 = types.float32, types.int64


@intrinsic
def max_step(context, x, y, kh, kw, row, tap, count):
    """The largest of a window of LANES channels; the first `count` are stored."""

    def generate(ctx, b, sig, args):
        x, y, kh, kw, row, tap, count = args
        t = vec(I16, LANES)
        best = cgutils.alloca_once(b, t)
        b.store(const(t, -32768), best)
        with cgutils.for_range(b, kh) as r, cgutils.for_range(b, kw) as c:
            v = load_at(b, b.add(x, b.add(b.mul(r.index, row), b.mul(c.index, tap))), t)
            u = b.load(best)
            b.store(b.select(b.icmp_signed(">", u, v), u, v), best)
        store_first(b, y, b.load(best), b.mul(count, ir.Constant(I64, 2)))
        return ctx.get_dummy_value()

    return types.void(*[i64] * 7), generate


@njit(nogil=True)
def int16_max_pool2d(i, share):
    """x points to the first pixel of the image."""
    n, h, w, c, kh, kw = i.N, i.H, i.W, i.C, i.KH, i.KW
    dh, dw, x_w = i.DH, i.DW, i.x_w
    row, tap = i.x_h * dh, x_w * dw
    row0, row1 = part_of(share, n * h)
    for r in range(row0, row1):
        first = r % h * i.SH - i.top
        r0, rows = clipped(first, kh, dh, i.IH)
        line = i.x + r // h * i.x_n + (first + r0 * dh) * i.x_h
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        for col in range(w):
            at = col * i.SW - i.left
            c0, taps = clipped(at, kw, dw, i.IW)
            x = line + (at + c0 * dw) * x_w
            for k in range(0, c, LANES):
                max_step(x + 2 * k, y + 2 * k, rows, taps, row, tap, c - k)
            y += i.y_w


@intrinsic
def mean_step(context, x, y, rows, columns, row, tap, m, zero, low, high, item, count):
    """The sum of a window of LANES channels, times m, stored as int16, floats or bytes; the first `count` of them."""

    def generate(ctx, b, sig, args):
        x, y, rows, columns, row, tap, m, zero, low, high, item, count = args
        t = vec(I32, LANES)
        acc = cgutils.alloca_once(b, t)
        b.store(const(t, 0), acc)
        with cgutils.for_range(b, rows) as r, cgutils.for_range(b, columns) as c:
            at = b.add(x, b.add(b.mul(r.index, row), b.mul(c.index, tap)))
            b.store(b.add(b.load(acc), shorts(b, at)), acc)
        real = b.fmul(b.sitofp(b.load(acc), vec(F32, LANES)), splat(b, m, LANES))
        limits = splats(b, zero, low, high)
        for size in (SHORT, FLOAT, BYTE):
            with b.if_then(b.icmp_signed("==", item, ir.Constant(I64, size))):
                store_first(b, y, stored(b, real, limits, size), b.mul(count, ir.Constant(I64, size)))
        return ctx.get_dummy_value()

    return types.void(*[i64] * 6, f32, *[i64] * 5), generate


@njit(nogil=True)
def int16_avg_pool2d(i, share):
    """x points to the first pixel of the unpadded image. Work is cut by output pixel, or, where these are few, by
    channels."""
    h, w, c, kh, kw = i.H, i.W, i.C, i.KH, i.KW
    z, lo, hi, dh, dw, item, ratio = i.q_zero, i.q_low, i.q_high, i.DH, i.DW, i.y_item, i.f_ratio
    row, tap = i.x_h * dh, i.x_w * dw
    pixels, blocks = i.N * h * w, (c + LANES - 1) // LANES
    first, end, block0, block1 = part_of_either(share, pixels, blocks, pixels < share.pieces)
    for place in range(first, end):
        image, rest = place // (h * w), place % (h * w)
        oh, ow = rest // w, rest % w
        top, left = oh * i.SH - i.top, ow * i.SW - i.left
        r0, rows = clipped(top, kh, dh, i.IH)
        c0, columns = clipped(left, kw, dw, i.IW)
        x = i.x + image * i.x_n + (top + r0 * dh) * i.x_h + (left + c0 * dw) * i.x_w
        y = i.y + image * i.y_n + oh * i.y_h + ow * i.y_w
        count = kh * kw if i.include else max(1, rows * columns)
        for block in range(block0, block1):
            k = block * LANES
            mean_step(x + 2 * k, y + k * item, rows, columns, row, tap, ratio / f32(count), z, lo, hi, item, c - k)
