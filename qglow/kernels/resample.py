"""Linear resampling of channels-last bytes: of quantized ones in integers, of plain ones in floats."""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from .jit import njit
from .memory import load_f32, load_i32
from .split import part_of, row_at
from .target import ISA
from .vector import F32, I8, I32, part, requantize, splat, vec, widened
from .vector_loops import store_first

f32, i64 = types.float32, types.int64
LANES = ISA.lanes


@intrinsic
def blend(context, x00, x01, x10, x11, w00, w01, w10, w11, x_zero, m, zero, low, high, y, count):
    """Four taps of LANES channels, weighted and requantized; the first `count` are stored. The weights' sum times
    x_zero is taken off."""

    def generate(ctx, b, sig, args):
        taps, weights, (x_zero, m, zero, low, high, y, count) = args[:4], args[4:8], args[8:]
        total = None
        for x, w in zip(taps, weights):
            q = b.sub(widened(b, x, LANES), splat(b, b.trunc(x_zero, I32), LANES))
            term = b.mul(q, splat(b, b.trunc(w, I32), LANES))
            total = term if total is None else b.add(total, term)
        real = b.fmul(b.sitofp(total, vec(F32, LANES)), splat(b, m, LANES))
        packed = part(b, requantize(b, [real] * 4, zero, low, high), 0, LANES)
        store_first(b, y, packed, count)
        return ctx.get_dummy_value()

    return types.void(*[i64] * 9, f32, *[i64] * 5), generate


@njit(nogil=True)
def resize_linear(i, share):
    n, h, w, c = i.N, i.H, i.W, i.C
    one_h, one_w, xz, m = i.one_h, i.one_w, i.x_zero, i.f_m
    zero, low, high = i.zero, i.low, i.high
    rows, columns, x_w = i.rows, i.columns, i.x_w
    first, end = part_of(share, n * h)
    for r in range(first, end):
        image, oh = i.x + r // h * i.x_n, r % h
        top = image + load_i32(rows + 4 * oh) * i.x_h
        bottom = image + load_i32(rows + 4 * (h + oh)) * i.x_h
        v = load_i32(rows + 4 * (2 * h + oh))
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        for ow in range(w):
            left, right = load_i32(columns + 4 * ow) * x_w, load_i32(columns + 4 * (w + ow)) * x_w
            u = load_i32(columns + 4 * (2 * w + ow))
            w00, w01, w10, w11 = (one_h - v) * (one_w - u), (one_h - v) * u, v * (one_w - u), v * u
            for k in range(0, c, LANES):
                blend(
                    top + left + k, top + right + k, bottom + left + k, bottom + right + k, w00, w01, w10, w11, xz, m,
                    zero, low, high, y + k, c - k
                )  # fmt: skip
            y += i.y_w


@intrinsic
def truncate(context, x00, x01, x10, x11, w00, w01, w10, w11, sign, y, count):
    """Four taps of LANES channels, weighted and rounded toward zero; the first `count` are stored. sign: the value of a
    byte's highest bit that is negative, or 0."""

    def generate(ctx, b, sig, args):
        taps, weights, (sign, y, count) = args[:4], args[4:8], args[8:]
        flip, total = splat(b, b.trunc(sign, I32), LANES), None
        for x, w in zip(taps, weights):
            q = b.sub(b.xor(widened(b, x, LANES), flip), flip)
            term = b.fmul(b.sitofp(q, vec(F32, LANES)), splat(b, w, LANES))
            total = term if total is None else b.fadd(total, term)
        packed = b.trunc(b.fptosi(total, vec(I32, LANES)), vec(I8, LANES))
        store_first(b, y, packed, count)
        return ctx.get_dummy_value()

    return types.void(*[i64] * 4, *[f32] * 4, *[i64] * 3), generate


@njit(nogil=True)
def resize_truncated(i, share):
    n, h, w, c, sign = i.N, i.H, i.W, i.C, 128 * i.signed
    rows, columns, x_w = i.rows, i.columns, i.x_w
    first, end = part_of(share, n * h)
    for r in range(first, end):
        image, oh = i.x + r // h * i.x_n, r % h
        top = image + load_i32(rows + 4 * oh) * i.x_h
        bottom = image + load_i32(rows + 4 * (h + oh)) * i.x_h
        v0, v1 = load_f32(rows + 4 * (2 * h + oh)), load_f32(rows + 4 * (3 * h + oh))
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        for ow in range(w):
            left, right = load_i32(columns + 4 * ow) * x_w, load_i32(columns + 4 * (w + ow)) * x_w
            u0, u1 = load_f32(columns + 4 * (2 * w + ow)), load_f32(columns + 4 * (3 * w + ow))
            w00, w01, w10, w11 = u0 * v0, u1 * v0, u0 * v1, u1 * v1
            for k in range(0, c, LANES):
                truncate(
                    top + left + k, top + right + k, bottom + left + k, bottom + right + k, w00, w01, w10, w11, sign,
                    y + k, c - k
                )  # fmt: skip
            y += i.y_w
