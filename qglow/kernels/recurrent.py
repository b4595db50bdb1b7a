"""One step of an LSTM or GRU after its products: gates to states. A step of a vector of units takes the addresses of
its operands, the bytes from one gate's units to the next gate's, and how many units there are, at most a vector."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..reference.recurrent import STATE_SCALE, STATE_ZERO
from .elementwise_u8 import LANES
from .float_math import sigmoid, tanh
from .jit import njit
from .split import part_of
from .vector import F32, I64, const, load_at, part, requantize, vec
from .vector_loops import store_first

i64 = types.int64
FLOATS = vec(F32, LANES)


def lstm_state(b, i, o, f, g, c):
    """(h, c) from the gates and the cell state before."""
    c = b.fadd(b.fmul(sigmoid(b, f), c), b.fmul(sigmoid(b, i), tanh(b, g)))
    return b.fmul(sigmoid(b, o), tanh(b, c)), c


def gate_of(b, size, k, *addresses):
    """The units of gate k at each address."""
    at = b.mul(size, ir.Constant(I64, k))
    return [load_at(b, b.add(base, at), FLOATS) for base in addresses]


def step_of(generate):
    """A step from generate(b, addresses, size), which gives pairs of an address and what is stored there."""

    @intrinsic
    def step(context, addresses, size, count):
        def code(ctx, b, sig, args):
            given, size, count = args
            for address, value in generate(b, cgutils.unpack_tuple(b, given), size):
                item = 4 if value.type == FLOATS else 1
                store_first(b, address, value, b.mul(count, ir.Constant(I64, item)))
            return ctx.get_dummy_value()

        return types.void(addresses, i64, i64), code

    return step


def cell(step, addresses):
    """The kernel of a step over rows of units. addresses(i, row, unit): those of its operands."""

    @njit(nogil=True)
    def kernel(i, share):
        n, c = i.N, i.C
        pieces = (c + LANES - 1) // LANES
        first, end = part_of(share, n * pieces)
        for job in range(first, end):
            row, unit = job // pieces, job % pieces * LANES
            step(addresses(i, row, unit), 4 * c, min(LANES, c - unit))

    return kernel


@step_of
def lstm_step(b, at, size):
    gx, gh, bias, c_in, c, y, q = at
    gates = [gate_of(b, size, k, gx, gh, bias) for k in range(4)]
    h, state = lstm_state(b, *(b.fadd(b.fadd(x, h), shift) for x, h, shift in gates), load_at(b, c_in, FLOATS))
    zero, low, high = (ir.Constant(I64, v) for v in (STATE_ZERO, 0, 255))
    packed = requantize(b, [b.fdiv(h, const(FLOATS, float(STATE_SCALE)))] * 4, zero, low, high)
    return (c, state), (y, h), (q, part(b, packed, 0, LANES))


@njit(nogil=True)
def of_lstm(i, row, unit):
    k = 4 * unit
    states = i.c_in + row * i.c_in_b + k, i.c + row * i.c_b + k, i.y + row * i.y_b + k, i.q + row * i.q_b + unit
    return (i.gx + row * i.gx_b + k, i.gh + row * i.gh_b + k, i.bias + k, *states)


@step_of
def float_lstm_step(b, at, size):
    """Of gates that are whole, without the state's bytes."""
    gates, c_in, c, h, y = at
    given = [gate for k in range(4) for gate in gate_of(b, size, k, gates)]
    new, state = lstm_state(b, *given, load_at(b, c_in, FLOATS))
    return (c, state), (h, new), (y, new)


@njit(nogil=True)
def of_float_lstm(i, row, unit):
    k = 4 * unit
    states = i.c_in + row * i.c_in_b + k, i.c + row * i.c_b + k, i.h + row * i.h_b + k, i.y + row * i.y_b + k
    return (i.gates + row * i.gates_b + k, *states)


@step_of
def float_gru_step(b, at, size):
    gx, gh, h_in, h, y = at
    z, r = (sigmoid(b, b.fadd(*gate_of(b, size, k, gx, gh))) for k in range(2))
    of_x, of_h = gate_of(b, size, 2, gx, gh)
    n = tanh(b, b.fadd(of_x, b.fmul(r, of_h)))
    new = b.fadd(b.fmul(b.fsub(const(FLOATS, 1.0), z), n), b.fmul(z, load_at(b, h_in, FLOATS)))
    return (h, new), (y, new)


@njit(nogil=True)
def of_float_gru(i, row, unit):
    k = 4 * unit
    states = i.h_in + row * i.h_in_b + k, i.h + row * i.h_b + k, i.y + row * i.y_b + k
    return (i.gx + row * i.gx_b + k, i.gh + row * i.gh_b + k, *states)


lstm_cell, float_lstm_cell = cell(lstm_step, of_lstm), cell(float_lstm_step, of_float_lstm)
float_gru_cell = cell(float_gru_step, of_float_gru)
