"""Kernels that visit each element of int16 values once: conversions, sums, products, tables."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .int16_vector import BYTE, FLOAT, LANES, SHORT, as_floats, reals, stored
from .jit import njit
from .memory import load_f32, load_i16, load_u8, rint_f32, store_f32, store_i16, store_u8
from .split import part_of, row_at
from .vector import F32, I16, I32, I64, add_to, load_at, splat, store_at, vec
from .vector_loops import store_some

f32, i64 = types.float32, types.int64
WIDE = 4  # vectors at a time


def run_of(moves, factors, real, item):
    """A function ((addresses ..., y, factors ..., zero, low, high), count) over a run of `count` elements.

    moves: bytes from one element to the next at each address (0 repeats it). factors: how many float32 there are.
    real(b, addresses, factors): a float vector in steps of y. item: bytes of an element of y.
    """
    kinds = types.Tuple([i64] * (len(moves) + 1) + [f32] * factors + [i64] * 3)

    def step(vectors, partial):
        def generate(ctx, b, sig, args):
            operands, k = cgutils.unpack_tuple(b, args[0]), args[1]
            y, values, limits = operands[len(moves)], operands[len(moves) + 1 : -3], as_floats(b, *operands[-3:])
            at = [b.add(a, b.mul(k, ir.Constant(I64, m))) if m else a for a, m in zip(operands, moves)]
            y = b.add(y, b.mul(k, ir.Constant(I64, item)))
            for v in range(vectors):
                result = stored(
                    b, real(b, [add_to(b, a, v * LANES * m) for a, m in zip(at, moves)], values), limits, item
                )
                if partial:
                    store_some(b, y, result, b.mul(args[2], ir.Constant(I64, item)))
                else:
                    store_at(b, add_to(b, y, v * LANES * item), result)
            return ctx.get_dummy_value()

        return types.void(kinds, i64, *([i64] if partial else [])), generate

    @intrinsic
    def wide(context, operands, k):
        return step(WIDE, False)

    @intrinsic
    def one(context, operands, k):
        return step(1, False)

    @intrinsic
    def some(context, operands, k, count):
        return step(1, True)

    @njit(nogil=True)
    def run(operands, count):
        k = 0
        while k + WIDE * LANES <= count:
            wide(operands, k)
            k += WIDE * LANES
        while k + LANES <= count:
            one(operands, k)
            k += LANES
        if k < count:
            some(operands, k, count - k)

    return run


def _operand(b, address, repeated):
    """int16 as floats: a vector of them, or one for all lanes."""
    return splat(b, b.sitofp(load_at(b, address, I16), F32), LANES) if repeated else reals(b, address)


def _sum(repeated):
    """f32(a) f_a + f32(b) f_b."""

    def real(b, at, f):
        left, right = _operand(b, at[0], False), _operand(b, at[1], repeated)
        return b.fadd(b.fmul(left, splat(b, f[0], LANES)), b.fmul(right, splat(b, f[1], LANES)))

    return real


def _product(repeated):
    """(f32(a) f32(b)) f_a; the product of both is rounded once, as that of the integers."""

    def real(b, at, f):
        return b.fmul(b.fmul(_operand(b, at[0], False), _operand(b, at[1], repeated)), splat(b, f[0], LANES))

    return real


def _division(b, at, f):
    return b.fdiv(load_at(b, at[0], vec(F32, LANES)), splat(b, f[0], LANES))


def _real(b, at, f):
    return b.fmul(reals(b, at[0]), splat(b, f[0], LANES))


quantize_run, dequantize_run = run_of((4,), 1, _division, SHORT), run_of((2,), 1, _real, FLOAT)
add_run, add_bytes = run_of((2, 2), 2, _sum(False), SHORT), run_of((2, 2), 2, _sum(False), BYTE)
add_repeated, add_repeated_bytes = run_of((2, 0), 2, _sum(True), SHORT), run_of((2, 0), 2, _sum(True), BYTE)
mul_run, mul_bytes = run_of((2, 2), 1, _product(False), SHORT), run_of((2, 2), 1, _product(False), BYTE)
mul_repeated, mul_repeated_bytes = run_of((2, 0), 1, _product(True), SHORT), run_of((2, 0), 1, _product(True), BYTE)


@njit(nogil=True)
def int16_add(i, share):
    h, c, bc, item = i.H, i.C, i.b_c, i.y_item
    fa, fb, z, lo, hi = i.f_a, i.f_b, i.q_zero, i.q_low, i.q_high
    first, end = part_of(share, i.N * h)
    for r in range(first, end):
        a = row_at(i.a, i.x_n, i.x_h, r, h)
        b = row_at(i.b, i.b_n, i.b_h, r, h)
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        for _ in range(i.W):
            operands = (a, b, y, fa, fb, z, lo, hi)
            if bc == 1 and item == SHORT:
                add_run(operands, c)
            elif bc == 1:
                add_bytes(operands, c)
            elif item == SHORT:
                add_repeated(operands, c)
            else:
                add_repeated_bytes(operands, c)
            a += i.x_w
            b += i.b_w
            y += i.y_w


@njit(nogil=True)
def int16_mul(i, share):
    h, c, bc, item = i.H, i.C, i.b_c, i.y_item
    m, z, lo, hi = i.f_a, i.q_zero, i.q_low, i.q_high
    first, end = part_of(share, i.N * h)
    for r in range(first, end):
        a = row_at(i.a, i.x_n, i.x_h, r, h)
        b = row_at(i.b, i.b_n, i.b_h, r, h)
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        for _ in range(i.W):
            operands = (a, b, y, m, z, lo, hi)
            if bc == 1 and item == SHORT:
                mul_run(operands, c)
            elif bc == 1:
                mul_bytes(operands, c)
            elif item == SHORT:
                mul_repeated(operands, c)
            else:
                mul_repeated_bytes(operands, c)
            a += i.x_w
            b += i.b_w
            y += i.y_w


@intrinsic
def quantize_pixels(context, x, y, y_w, scale, low, high):
    """Quantize LANES floats and store them y_w bytes apart."""

    def generate(ctx, b, sig, args):
        x, y, y_w, scale, low, high = args
        q = stored(b, _division(b, [x], [scale]), as_floats(b, ir.Constant(I64, 0), low, high), SHORT)
        for p in range(LANES):
            store_at(b, b.add(y, b.mul(y_w, ir.Constant(I64, p))), b.extract_element(q, ir.Constant(I32, p)))
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, f32, i64, i64), generate


@njit(nogil=True)
def quantize_one(x, y, s, lo, hi):
    real = rint_f32(load_f32(x) / s)
    real = real if real > f32(lo) else f32(lo)  # NOTE: so is NaN, as in `vector.clamp`
    store_i16(y, i64(min(real, f32(hi))))


@njit(nogil=True)
def int16_quantize(i, share):
    """Planes to pixels a channel at a time; where the channels are dense in x, runs."""
    h, w, c, s, lo, hi, xw, yw, xc = i.H, i.W, i.C, i.f_scale, i.q_low, i.q_high, i.x_w, i.y_w, i.x_c
    first, end = part_of(share, i.N * h)
    for r in range(first, end):
        x = row_at(i.x, i.x_n, i.x_h, r, h)
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        if xc == 4:
            for col in range(w):
                quantize_run((x + col * xw, y + col * yw, s, 0, lo, hi), c)
            continue
        vectors = w // LANES if xw == 4 else 0
        for k in range(c):
            for v in range(vectors):
                quantize_pixels(x + k * xc + v * LANES * 4, y + v * LANES * yw + k * 2, yw, s, lo, hi)
            for col in range(vectors * LANES, w):
                quantize_one(x + k * xc + col * xw, y + col * yw + k * 2, s, lo, hi)


@njit(nogil=True)
def int16_dequantize(i, share):
    """Pixels to planes a channel at a time; where the channels are dense in y, runs."""
    h, w, c, s, yc, xw, yw = i.H, i.W, i.C, i.f_scale, i.y_c, i.x_w, i.y_w
    first, end = part_of(share, i.N * h)
    for r in range(first, end):
        x = row_at(i.x, i.x_n, i.x_h, r, h)
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        if yc == 4:
            for col in range(w):
                dequantize_run((x + col * xw, y + col * yw, s, 0, 0, 0), c)
            continue
        for k in range(c):
            for col in range(w):
                store_f32(y + col * yw + k * yc, f32(load_i16(x + col * xw + k * 2)) * s)


@njit(nogil=True)
def look_up(x, y, count, table, x_item, y_item):
    """table[x] of a run; of int16 the table begins with the entry of -32768."""
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
def int16_lookup(i, share):
    h = i.H
    first, end = part_of(share, i.N * h)
    for r in range(first, end):
        x = row_at(i.x, i.x_n, i.x_h, r, h)
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        for _ in range(i.W):
            look_up(x, y, i.C, i.table, i.x_item, i.y_item)
            x += i.x_w
            y += i.y_w
