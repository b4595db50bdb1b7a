"""Vectors of int16, and the last step of everything that computes on them: float32 to int16, u8 or float
(docs/quantization.md, 50)."""

from __future__ import annotations

from .target import ISA
from .vector import F32, I8, I16, I32, clamp, load_at, rint, splat, vec

LANES = ISA.lanes
BYTE, SHORT, FLOAT = 1, 2, 4  # y_item: bytes of an element


def shorts(b, address, n=LANES):
    """n int16 at an address as int32."""
    return b.sext(load_at(b, address, vec(I16, n)), vec(I32, n))


def limits_of(b, i):
    """Zero point and limits of an instruction as float vectors."""
    return splats(b, i.q_zero, i.q_low, i.q_high)


def splats(b, *numbers):
    """int64 scalars as float vectors."""
    return tuple(splat(b, b.sitofp(v, F32), LANES) for v in numbers)


def stored(b, real, limits, item):
    """C(rint(real) + zero) of a float vector as int16 or u8: clamped first, so that no float is beyond an int32; the
    vector itself as floats. limits: of `limits_of`."""
    if item == FLOAT:
        return real
    zero, low, high = limits
    rounded = clamp(b, b.fadd(rint(b, real), zero), low, high)
    return b.trunc(b.fptosi(rounded, vec(I32, LANES)), vec(I16 if item == SHORT else I8, LANES))


def operand(b, address, scalars, which, repeated):
    """int16 less their zero point, the scalar of this number, as int32: a vector of them, or one for all lanes."""
    x = splat(b, b.sext(load_at(b, address, I16), I32), LANES) if repeated else shorts(b, address)
    return b.sub(x, splat(b, b.trunc(scalars[which], I32), LANES))


def stored_as(item):
    """Real vectors as elements of `item` bytes: the last three scalars are zero, low and high."""

    def vectors(b, reals, scalars):
        limits = splats(b, *scalars[-3:])
        return [stored(b, real, limits, item) for real in reals]

    return vectors
