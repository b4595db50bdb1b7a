"""Runs of adjacent elements: sums, products, conversions, tables. Four vectors at a time, then one, then what is left
of one.

A last part is computed as a whole vector and stored piece by piece, so that nothing is written beyond the run; reading
beyond it is allowed everywhere (the arena and the constants end in slack).
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import njit
from .memory import load_u8, store_u8
from .target import HARDWARE_TABLE, ISA
from .vector import (
    F32,
    I8,
    I32,
    I64,
    add_to,
    call,
    const,
    load_at,
    minus_zero_point,
    part,
    requantize,
    splat,
    store_at,
    vec,
    widened,
    within,
)
from .vector_loops import store_first, store_some

LANES = ISA.lanes
WIDE = 4 * LANES
i64, f32 = types.int64, types.float32


def run_of(moves, scalars, real, size=1):
    """A function ((addresses ..., y, scalars ...), count) over a run of `count` elements.

    moves: bytes from one element to the next at each address (0 repeats it). scalars: "i" int64 or "f" float32 each.
    real(b, addresses, scalars): a float vector. size: 1, requantized with the last three scalars (zero, low, high), or
    4, stored as it is.
    """
    kinds = types.Tuple([i64] * (len(moves) + 1) + [i64 if s == "i" else f32 for s in scalars])

    def step(vectors, partial):
        def generate(ctx, b, sig, args):
            operands = cgutils.unpack_tuple(b, args[0])
            k, (y, *values) = args[1], operands[len(moves) :]
            at = [b.add(a, b.mul(k, ir.Constant(I64, m))) if m else a for a, m in zip(operands, moves)]
            y = b.add(y, b.mul(k, ir.Constant(I64, size)))
            reals = [real(b, [add_to(b, a, v * LANES * m) for a, m in zip(at, moves)], values) for v in range(vectors)]
            if size == 1:
                packed = requantize(b, (reals * 4)[:4], *values[-3:])
                results = [packed if vectors == 4 else part(b, packed, 0, LANES)]
            else:
                results = reals
            for n, result in enumerate(results):
                if partial:
                    store_some(b, y, result, b.mul(args[2], ir.Constant(I64, size)))
                else:
                    store_at(b, add_to(b, y, n * LANES * size), result)
            return ctx.get_dummy_value()

        return types.void(kinds, i64, *([i64] if partial else [])), generate

    @intrinsic
    def wide(context, operands, k):
        return step(4, False)

    @intrinsic
    def one(context, operands, k):
        return step(1, False)

    @intrinsic
    def some(context, operands, k, count):
        return step(1, True)

    @njit(nogil=True)
    def run(operands, count):
        k = 0
        while k + WIDE <= count:
            wide(operands, k)
            k += WIDE
        while k + LANES <= count:
            one(operands, k)
            k += LANES
        if k < count:
            some(operands, k, count - k)

    return run


def _zero(b, value):
    return splat(b, b.trunc(value, I32), LANES)


def _sum(b, at, v):
    """f32(a - a_zero) m_a + f32(b - b_zero) m_b."""
    left = b.fmul(minus_zero_point(b, at[0], _zero(b, v[0]), LANES), splat(b, v[2], LANES))
    return b.fadd(left, b.fmul(minus_zero_point(b, at[1], _zero(b, v[1]), LANES), splat(b, v[3], LANES)))


def _repeated(b, address, zero):
    """q - z of one byte, for all lanes, as int32."""
    return splat(b, b.sub(b.zext(load_at(b, address, I8), I32), b.trunc(zero, I32)), LANES)


def _sum_repeated(b, at, v):
    left = b.fmul(minus_zero_point(b, at[0], _zero(b, v[0]), LANES), splat(b, v[2], LANES))
    return b.fadd(left, b.fmul(b.sitofp(_repeated(b, at[1], v[1]), vec(F32, LANES)), splat(b, v[3], LANES)))


def _product(b, at, v):
    """f32((a - a_zero) (b - b_zero)) m."""
    left, right = (b.sub(widened(b, a, LANES), _zero(b, z)) for a, z in zip(at, v))
    return b.fmul(b.sitofp(b.mul(left, right), vec(F32, LANES)), splat(b, v[2], LANES))


def _product_repeated(b, at, v):
    left = b.sub(widened(b, at[0], LANES), _zero(b, v[0]))
    return b.fmul(b.sitofp(b.mul(left, _repeated(b, at[1], v[1])), vec(F32, LANES)), splat(b, v[2], LANES))


def _division(b, at, v):
    """x / s."""
    return within(b, b.fdiv(load_at(b, at[0], vec(F32, LANES)), splat(b, v[0], LANES)))


def _real(b, at, v):
    """f32(x - zero) s."""
    return b.fmul(minus_zero_point(b, at[0], _zero(b, v[0]), LANES), splat(b, v[1], LANES))


add_run, add_repeated = run_of((1, 1), "iiffiii", _sum), run_of((1, 0), "iiffiii", _sum_repeated)
mul_run, mul_repeated = run_of((1, 1), "iifiii", _product), run_of((1, 0), "iifiii", _product_repeated)
quantize_run = run_of((4,), "fiii", _division)
dequantize_run = run_of((1,), "if", _real, size=4)


def find(b, table, index):
    """64 entries of a table of 256 bytes, given as four vectors."""
    low, high = (
        call(b, "llvm.x86.avx512.vpermi2var.qi.512", index.type, table[k], index, table[k + 1]) for k in (0, 2)
    )
    return b.select(b.icmp_signed("<", index, const(index.type, 0)), high, low)


def table_of(b, address):
    return [load_at(b, add_to(b, address, 64 * k), vec(I8, 64)) for k in range(4)]


@intrinsic
def table_step(context, x, y, table, count):
    """y = table[x] of up to 64 bytes, by two byte permutes and a choice between them."""

    def generate(ctx, b, sig, args):
        x, y, table, count = args
        found = find(b, table_of(b, table), load_at(b, x, vec(I8, 64)))
        store_first(b, y, found, count)
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64), generate


@njit(nogil=True)
def lookup_run(x, y, count, table, t_c):
    """table[x] of a run of bytes; t_c: bytes from one byte's table to the next byte's."""
    if HARDWARE_TABLE and t_c == 0:
        for k in range(0, count, 64):
            table_step(x + k, y + k, table, count - k)
    else:
        for k in range(count):
            store_u8(y + k, load_u8(table + k * t_c + load_u8(x + k)))
