"""Runs of bytes: conversions, tables, and operands of what is computed of two."""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from .jit import njit
from .memory import load_u8, store_u8
from .runs import LANES, as_floats, run_of
from .target import HARDWARE_TABLE
from .vector import (
    F32,
    I8,
    I32,
    add_to,
    call,
    const,
    load_at,
    minus_zero_point,
    part,
    requantize,
    splat,
    vec,
    widened,
    within,
)
from .vector_loops import store_first

i64 = types.int64


def stored(b, reals, scalars):
    """Real vectors as bytes: the last three scalars are zero, low and high."""
    packed = requantize(b, (reals * 4)[:4], *scalars[-3:])
    return [packed if len(reals) == 4 else part(b, packed, 0, LANES)]


def bytes_of(moves, scalars, real):
    return run_of(moves, scalars, real, stored, 1)


def _zero(b, value):
    return splat(b, b.trunc(value, I32), LANES)


def operand(b, address, v, which, repeated):
    """Bytes less their zero point, the scalar of this number, as int32: a vector of them, or one for all lanes."""
    if repeated:
        return splat(b, b.sub(b.zext(load_at(b, address, I8), I32), b.trunc(v[which], I32)), LANES)
    return b.sub(widened(b, address, LANES), _zero(b, v[which]))


def _division(b, at, v):
    """x / s."""
    return within(b, b.fdiv(load_at(b, at[0], vec(F32, LANES)), splat(b, v[0], LANES)))


def _real(b, at, v):
    """f32(x - zero) s."""
    return b.fmul(minus_zero_point(b, at[0], _zero(b, v[0]), LANES), splat(b, v[1], LANES))


quantize_run = bytes_of((4,), "fiii", _division)
dequantize_run = run_of((1,), "if", _real, as_floats, 4)


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
