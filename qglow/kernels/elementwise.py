"""Kernels that visit each element once: loops over images of runs, threads share the rows."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .channel_tables import look_up_channels
from .elementwise_u8 import (
    LANES,
    dequantize_run,
    lookup_run,
    quantize_run,
)
from .jit import njit
from .memory import load_f32, load_u8, rint_f32, store_f32, store_u8
from .runs import of_one
from .split import part_of, row_at, scratch_of
from .target import HARDWARE_TABLE
from .vector import F32, I32, I64, const, load_at, splat, store_at, to_int, vec, within

f32, i64 = types.float32, types.int64


@njit(nogil=True)
def table_runs(operands, count):
    x, y, table, t_c = operands
    lookup_run(x, y, count, table, t_c)


@njit(nogil=True)
def of_table(i):
    return i.table, i.t_c


lookup = of_one(table_runs, of_table)


@njit(nogil=True)
def lookup_blocks(i, share):
    first, end = part_of(share, i.N * i.H * i.W)
    look_up_channels(i, scratch_of(i, share), first, end)


lookup_channels = lookup_blocks if HARDWARE_TABLE else lookup


def _quantize_planes(b, planes, y, y_w, scale, zero, low, high):
    """Quantize LANES pixels of at most four planes and store them as one int32 each, y_w bytes apart."""
    t, total = vec(I32, LANES), None
    z, lo, hi = (splat(b, b.trunc(v, I32), LANES) for v in (zero, low, high))
    for c, plane in enumerate(planes):
        q = b.add(to_int(b, within(b, b.fdiv(load_at(b, plane, vec(F32, LANES)), splat(b, scale, LANES)))), z)
        q = b.select(b.icmp_signed(">", q, lo), q, lo)
        q = b.select(b.icmp_signed("<", q, hi), q, hi)
        total = q if total is None else b.or_(total, b.shl(q, const(t, 8 * c)))
    with b.if_else(b.icmp_signed("==", y_w, ir.Constant(I64, 4))) as (dense, apart):
        with dense:
            store_at(b, y, total)
        with apart:
            for p in range(LANES):
                store_at(b, b.add(y, b.mul(y_w, ir.Constant(I64, p))), b.extract_element(total, ir.Constant(I32, p)))


@intrinsic
def quantize_pixels(context, x0, x1, x2, x3, y, y_w, scale, zero, low, high):
    """`_quantize_planes` of four planes."""

    def generate(ctx, b, sig, args):
        _quantize_planes(b, args[:4], *args[4:])
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64, i64, f32, i64, i64, i64), generate


@intrinsic
def quantize_colours(context, x0, x1, x2, y, y_w, scale, zero, low, high):
    """`_quantize_planes` of three planes: a division less, which is most of the time."""

    def generate(ctx, b, sig, args):
        _quantize_planes(b, args[:3], *args[3:])
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64, f32, i64, i64, i64), generate


@njit(nogil=True)
def of_quotient(i):
    return i.f_scale, i.zero, i.low, i.high


@njit(nogil=True)
def of_real(i):
    return i.x_zero, i.f_scale


quantize_runs, dequantize_runs = of_one(quantize_run, of_quotient), of_one(dequantize_run, of_real)


@njit(nogil=True)
def quantize_one(x, y, s, z, lo, hi):
    real = rint_f32(load_f32(x) / s)
    real = real if real > f32(-1e6) else f32(-1e6)  # NOTE: so is NaN, as in `vector.clamp`
    store_u8(y, min(max(i64(min(real, f32(1e6))) + z, lo), hi))


@njit(nogil=True)
def quantize(i, share):
    """Planes to pixels four channels at a time."""
    n, h, w, c, padded = i.N, i.H, i.W, i.C, i.P
    s, z, lo, hi = i.f_scale, i.zero, i.low, i.high
    xw, yw, xc = i.x_w, i.y_w, i.x_c
    first, end = part_of(share, n * h)
    for r in range(first, end):
        x = row_at(i.x, i.x_n, i.x_h, r, h)
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        vectors = w // LANES if xw == 4 else 0
        for k in range(0, padded // 4 * 4, 4):
            p0 = x + k * xc
            p1, p2, p3 = p0 + min(1, c - 1 - k) * xc, p0 + min(2, c - 1 - k) * xc, p0 + min(3, c - 1 - k) * xc
            for v in range(vectors):
                at, to = v * LANES * 4, y + v * LANES * yw + k
                if c - k == 3:
                    quantize_colours(p0 + at, p1 + at, p2 + at, to, yw, s, z, lo, hi)
                else:
                    quantize_pixels(p0 + at, p1 + at, p2 + at, p3 + at, to, yw, s, z, lo, hi)
        for k in range(c):
            for col in range(vectors * LANES if k < padded // 4 * 4 else 0, w):
                quantize_one(x + k * xc + col * xw, y + col * yw + k, s, z, lo, hi)


@intrinsic
def dequantize_pixels(context, x, x_w, y, y_c, zero, scale):
    """Four channels of LANES pixels, x_w bytes apart, as floats into four planes y_c bytes apart."""

    def generate(ctx, b, sig, args):
        x, x_w, y, y_c, zero, scale = args
        t = vec(I32, LANES)
        pixels = ir.Constant(t, ir.Undefined)
        for p in range(LANES):
            pixels = b.insert_element(
                pixels, load_at(b, b.add(x, b.mul(x_w, ir.Constant(I64, p))), I32), ir.Constant(I32, p)
            )
        z, s = splat(b, b.trunc(zero, I32), LANES), splat(b, scale, LANES)
        for c in range(4):
            q = b.and_(b.lshr(pixels, const(t, 8 * c)), const(t, 255))
            store_at(b, b.add(y, b.mul(y_c, ir.Constant(I64, c))), b.fmul(b.sitofp(b.sub(q, z), vec(F32, LANES)), s))
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64, f32), generate


@njit(nogil=True)
def dequantize(i, share):
    """Pixels to planes four channels at a time."""
    n, h, w, c = i.N, i.H, i.W, i.C
    z, s, yc, xw, yw = i.x_zero, i.f_scale, i.y_c, i.x_w, i.y_w
    first, end = part_of(share, n * h)
    for r in range(first, end):
        x = row_at(i.x, i.x_n, i.x_h, r, h)
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        vectors = w // LANES if yw == 4 else 0
        for k in range(0, c // 4 * 4, 4):
            for v in range(vectors):
                dequantize_pixels(x + v * LANES * xw + k, xw, y + k * yc + v * LANES * 4, yc, z, s)
        for k in range(c):
            for col in range(vectors * LANES if k < c // 4 * 4 else 0, w):
                store_f32(y + col * yw + k * yc, f32(load_u8(x + col * xw + k) - z) * s)
