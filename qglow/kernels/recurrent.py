"""One step of an LSTM or GRU after its products: gates to states."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..reference.recurrent import STATE_SCALE, STATE_ZERO
from .elementwise_u8 import LANES
from .float_math import sigmoid, tanh
from .jit import njit
from .split import part_of
from .vector import F32, I64, const, load_at, part, requantize, vec
from .vector_loops import store_first

i64 = types.int64


def lstm_state(b, i, o, f, g, c):
    """(h, c) from the gates and the cell state before."""
    c = b.fadd(b.fmul(sigmoid(b, f), c), b.fmul(sigmoid(b, i), tanh(b, g)))
    return b.fmul(sigmoid(b, o), tanh(b, c)), c


@intrinsic
def step(context, gx, gh, bias, c_in, c, y, q, size, count):
    """`count` units, at most a vector of them. size: bytes from one gate's units to the next gate's."""

    def generate(ctx, b, sig, args):
        gx, gh, bias, c_in, c, y, q, size, count = args
        t = vec(F32, LANES)

        def gate(k):
            at = b.mul(size, ir.Constant(I64, k))
            x, h, shift = (load_at(b, b.add(base, at), t) for base in (gx, gh, bias))
            return b.fadd(b.fadd(x, h), shift)

        h, state = lstm_state(b, *(gate(k) for k in range(4)), load_at(b, c_in, t))
        zero, low, high = (ir.Constant(I64, v) for v in (STATE_ZERO, 0, 255))
        packed = requantize(b, [b.fdiv(h, const(t, float(STATE_SCALE)))] * 4, zero, low, high)
        floats = b.mul(count, ir.Constant(I64, 4))
        for address, value, size in ((c, state, floats), (y, h, floats), (q, part(b, packed, 0, LANES), count)):
            store_first(b, address, value, size)
        return ctx.get_dummy_value()

    return types.void(*[i64] * 9), generate


@njit(nogil=True)
def lstm_cell(i, share):
    n, c = i.N, i.C
    pieces = (c + LANES - 1) // LANES
    first, end = part_of(share, n * pieces)
    for job in range(first, end):
        row, unit = job // pieces, job % pieces * LANES
        step(
            i.gx + row * i.gx_b + 4 * unit, i.gh + row * i.gh_b + 4 * unit, i.bias + 4 * unit,
            i.c_in + row * i.c_in_b + 4 * unit,
            i.c + row * i.c_b + 4 * unit, i.y + row * i.y_b + 4 * unit, i.q + row * i.q_b + unit, 4 * c,
            min(LANES, c - unit)
        )  # fmt: skip


@intrinsic
def float_lstm_step(context, gates, c_in, c, h, y, size, count):
    """As `step`, of gates that are whole and without the state's bytes."""

    def generate(ctx, b, sig, args):
        gates, c_in, c, h, y, size, count = args
        t, floats = vec(F32, LANES), b.mul(count, ir.Constant(I64, 4))
        given = [load_at(b, b.add(gates, b.mul(size, ir.Constant(I64, k))), t) for k in range(4)]
        new, state = lstm_state(b, *given, load_at(b, c_in, t))
        for address, value in ((c, state), (h, new), (y, new)):
            store_first(b, address, value, floats)
        return ctx.get_dummy_value()

    return types.void(*[i64] * 7), generate


@njit(nogil=True)
def float_lstm_cell(i, share):
    n, c = i.N, i.C
    pieces = (c + LANES - 1) // LANES
    first, end = part_of(share, n * pieces)
    for job in range(first, end):
        row, unit = job // pieces, job % pieces * LANES
        at = 4 * unit
        float_lstm_step(
            i.gates + row * i.gates_b + at, i.c_in + row * i.c_in_b + at, i.c + row * i.c_b + at,
            i.h + row * i.h_b + at, i.y + row * i.y_b + at, 4 * c, min(LANES, c - unit)
        )  # fmt: skip


@intrinsic
def float_gru_step(context, gx, gh, h_in, h, y, size, count):
    """`count` units, at most a vector of them. size: bytes from one gate's units to the next gate's."""

    def generate(ctx, b, sig, args):
        gx, gh, h_in, h, y, size, count = args
        t, floats = vec(F32, LANES), b.mul(count, ir.Constant(I64, 4))

        def gate(base, k):
            return load_at(b, b.add(base, b.mul(size, ir.Constant(I64, k))), t)

        z, r = (sigmoid(b, b.fadd(gate(gx, k), gate(gh, k))) for k in range(2))
        n = tanh(b, b.fadd(gate(gx, 2), b.fmul(r, gate(gh, 2))))
        new = b.fadd(b.fmul(b.fsub(const(t, 1.0), z), n), b.fmul(z, load_at(b, h_in, t)))
        for address in (h, y):
            store_first(b, address, new, floats)
        return ctx.get_dummy_value()

    return types.void(*[i64] * 7), generate


@njit(nogil=True)
def float_gru_cell(i, share):
    n, c = i.N, i.C
    pieces = (c + LANES - 1) // LANES
    first, end = part_of(share, n * pieces)
    for job in range(first, end):
        row, unit = job // pieces, job % pieces * LANES
        at = 4 * unit
        float_gru_step(
            i.gx + row * i.gx_b + at, i.gh + row * i.gh_b + at, i.h_in + row * i.h_in_b + at,
            i.h + row * i.h_b + at, i.y + row * i.y_b + at, 4 * c, min(LANES, c - unit)
        )  # fmt: skip
