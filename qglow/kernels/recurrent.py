"""One step of an LSTM after its products: gates to state and output."""

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

        i, o, f, g = (gate(k) for k in range(4))
        state = b.fadd(b.fmul(sigmoid(b, f), load_at(b, c_in, t)), b.fmul(sigmoid(b, i), tanh(b, g)))
        h = b.fmul(sigmoid(b, o), tanh(b, state))
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
