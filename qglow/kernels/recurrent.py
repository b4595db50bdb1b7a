"""One step of an LSTM after its products: gates to state and output."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..reference.recurrent import STATE_SCALE, STATE_ZERO
from .elementwise_u8 import LANES
from .float_math import sigmoid, tanh
from .jit import njit
from .memory import load_i64, words
from .table import kernel
from .vector import F32, I64, const, load_at, part, requantize, vec
from .vector_loops import store_first

i64 = types.int64
GX, GH, C_IN, C_OUT, Y, Q, BIAS, N, C, GX_B, GH_B, C_IN_B, C_B, Y_B, Q_B = words(
    "lstm_cell", "gx gh c_in c y q bias N C gx_b gh_b c_in_b c_b y_b q_b"
)


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


@kernel("lstm_cell")
@njit(nogil=True)
def lstm_cell(i, arena, constants, thread, threads):
    n, c = load_i64(i + N), load_i64(i + C)
    pieces = (c + LANES - 1) // LANES
    for job in range(n * pieces * thread // threads, n * pieces * (thread + 1) // threads):
        row, unit = job // pieces, job % pieces * LANES
        step(
            load_i64(i + GX) + row * load_i64(i + GX_B) + 4 * unit,
            load_i64(i + GH) + row * load_i64(i + GH_B) + 4 * unit,
            load_i64(i + BIAS) + 4 * unit,
            load_i64(i + C_IN) + row * load_i64(i + C_IN_B) + 4 * unit,
            load_i64(i + C_OUT) + row * load_i64(i + C_B) + 4 * unit,
            load_i64(i + Y) + row * load_i64(i + Y_B) + 4 * unit,
            load_i64(i + Q) + row * load_i64(i + Q_B) + unit,
            4 * c,
            min(LANES, c - unit),
        )
