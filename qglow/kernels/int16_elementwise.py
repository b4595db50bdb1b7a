"""Kernels that visit each element of int16 values once: conversions, tables."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .int16_vector import BYTE, FLOAT, LANES, SHORT, operand, splats, stored, stored_as
from .jit import njit
from .memory import load_f32, load_i16, load_u8, rint_f32, store_f32, store_i16, store_u8
from .runs import as_floats, of_one, run_of
from .split import part_of, row_at
from .vector import F32, I32, I64, load_at, splat, store_at, vec

f32, i64 = types.float32, types.int64


def _division(b, at, f):
    return b.fdiv(load_at(b, at[0], vec(F32, LANES)), splat(b, f[0], LANES))


def _real(b, at, f):
    x = operand(b, at[0], f, 0, False)
    return b.fmul(b.sitofp(x, vec(F32, LANES)), splat(b, f[1], LANES))


@njit(nogil=True)
def of_quotient(i):
    return i.f_scale, i.q_zero, i.q_low, i.q_high


@njit(nogil=True)
def of_real(i):
    return i.q_x_zero, i.f_scale


quantize_runs = of_one(run_of((4,), "fiii", _division, stored_as(SHORT), SHORT), of_quotient)
dequantize_runs = of_one(run_of((2,), "if", _real, as_floats, FLOAT), of_real)


@intrinsic
def quantize_pixels(context, x, y, y_w, scale, zero, low, high):
    """Quantize LANES floats and store them y_w bytes apart."""

    def generate(ctx, b, sig, args):
        x, y, y_w, scale, zero, low, high = args
        q = stored(b, _division(b, [x], [scale]), splats(b, zero, low, high), SHORT)
        for p in range(LANES):
            store_at(b, b.add(y, b.mul(y_w, ir.Constant(I64, p))), b.extract_element(q, ir.Constant(I32, p)))
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, f32, i64, i64, i64), generate


@njit(nogil=True)
def quantize_one(x, y, s, zero, lo, hi):
    real = rint_f32(load_f32(x) / s) + f32(zero)
    real = real if real > f32(lo) else f32(lo)  # NOTE: so is NaN, as in `vector.clamp`
    store_i16(y, i64(min(real, f32(hi))))


@njit(nogil=True)
def quantize(i, share):
    """Planes to pixels a channel at a time."""
    h, w, c, xw, yw, xc = i.H, i.W, i.C, i.x_w, i.y_w, i.x_c
    s, zero, lo, hi = i.f_scale, i.q_zero, i.q_low, i.q_high
    first, end = part_of(share, i.N * h)
    for r in range(first, end):
        x = row_at(i.x, i.x_n, i.x_h, r, h)
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        vectors = w // LANES if xw == 4 else 0
        for k in range(c):
            for v in range(vectors):
                quantize_pixels(x + k * xc + v * LANES * 4, y + v * LANES * yw + k * 2, yw, s, zero, lo, hi)
            for col in range(vectors * LANES, w):
                quantize_one(x + k * xc + col * xw, y + col * yw + k * 2, s, zero, lo, hi)


@njit(nogil=True)
def dequantize(i, share):
    """Pixels to planes a channel at a time."""
    h, w, c, s, zero, yc, xw, yw = i.H, i.W, i.C, i.f_scale, i.q_x_zero, i.y_c, i.x_w, i.y_w
    first, end = part_of(share, i.N * h)
    for r in range(first, end):
        x = row_at(i.x, i.x_n, i.x_h, r, h)
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        for k in range(c):
            for col in range(w):
                store_f32(y + col * yw + k * yc, f32(load_i16(x + col * xw + k * 2) - zero) * s)


@njit(nogil=True)
def look_up(operands, count):
    """table[x] of a run; of int16 the table begins with the entry of -32768."""
    x, y, table, x_item, y_item = operands
    if x_item == BYTE:
        for k in range(count):
            store_i16(y + 2 * k, load_i16(table + 2 * load_u8(x + k)))
    elif y_item == BYTE:
        for k in range(count):
            store_u8(y + k, load_u8(table + 32768 + load_i16(x + 2 * k)))
    else:
        for k in range(count):
            store_i16(y + 2 * k, load_i16(table + 65536 + 2 * load_i16(x + 2 * k)))


@njit(nogil=True)
def of_table(i):
    return i.table, i.x_item, i.y_item


lookup = of_one(look_up, of_table)
