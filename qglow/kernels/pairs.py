"""Kernels of two int8 or int16 tensors: of each op of INT8_BINARY one for operands that move along the run, and one for
a second operand that stands still. The ops are functions of floats (`OPERATIONS` in floats.py)."""

from __future__ import annotations

from functools import cache

from ..instructions.table import INT8_BINARY, SCALED_BEFORE
from . import elementwise_u8 as u8
from . import int16_vector as int16
from .floats import OPERATIONS
from .jit import njit
from .runs import LANES, of_two, run_of
from .vector import F32, splat, vec

FLOATS = vec(F32, LANES)
FACTORS = 2  # the place of f_a among the scalars, behind both zero points


OF_INTEGERS = {"Mul": lambda b, x, y: b.mul(x, y)}  # of bytes: as exact, and one conversion less


def real_of(op, operand, repeated, of_integers):
    """The op of two operands, as real numbers in steps of y. operand(b, address, scalars, which, repeated): one of
    them, less its zero point, as int32. of_integers: ops that take these as they are."""

    def real(b, at, v):
        x, y = operand(b, at[0], v, 0, False), operand(b, at[1], v, 1, repeated)
        if op in of_integers:
            return b.fmul(b.sitofp(of_integers[op](b, x, y), FLOATS), splat(b, v[FACTORS], LANES))
        x, y = b.sitofp(x, FLOATS), b.sitofp(y, FLOATS)
        if op in SCALED_BEFORE:
            x, y = (b.fmul(value, splat(b, v[FACTORS + k], LANES)) for k, value in enumerate((x, y)))
            return OPERATIONS[op](b, x, y)
        return b.fmul(OPERATIONS[op](b, x, y), splat(b, v[FACTORS], LANES))

    return real


@njit(nogil=True)
def of_bytes(i):
    return i.a_zero, i.b_zero, i.f_a, i.zero, i.low, i.high


@njit(nogil=True)
def of_bytes_together(i):
    return i.a_zero, i.b_zero, i.f_a, i.f_b, i.zero, i.low, i.high


@njit(nogil=True)
def of_shorts(i):
    return i.q_a_zero, i.q_b_zero, i.f_a, i.q_zero, i.q_low, i.q_high


@njit(nogil=True)
def of_shorts_together(i):
    return i.q_a_zero, i.q_b_zero, i.f_a, i.f_b, i.q_zero, i.q_low, i.q_high


@cache
def bytes_run(op, repeated):
    """A run of bytes; the scalars are those of `of_bytes`, or `of_bytes_together`."""
    factors = "ff" if op in SCALED_BEFORE else "f"
    real = real_of(op, u8.operand, repeated, OF_INTEGERS)
    return u8.bytes_of((1, 0 if repeated else 1), f"ii{factors}iii", real)


def shorts_run(op, repeated, item):
    """A run of int16 whose results have `item` bytes."""
    factors = "ff" if op in SCALED_BEFORE else "f"
    real = real_of(op, int16.operand, repeated, {})
    return run_of((2, 0 if repeated else 2), f"ii{factors}iii", real, int16.stored_as(item), item)


def _made():
    for op in INT8_BINARY:
        together, name = op in SCALED_BEFORE, op.lower()
        bytes_, shorts = (of_bytes_together, of_shorts_together) if together else (of_bytes, of_shorts)
        for repeated, suffix in ((False, ""), (True, "_one")):
            yield name + suffix, of_two(bytes_run(op, repeated), bytes_)
            for item, stored in ((int16.SHORT, ""), (int16.BYTE, "_bytes")):
                yield f"int16_{name}{suffix}{stored}", of_two(shorts_run(op, repeated, item), shorts)


_KERNELS = dict(_made())


def __getattr__(name):
    """A kernel by its name."""
    if name not in _KERNELS:
        raise AttributeError(name)
    return _KERNELS[name]
