"""Fused multiply-adds of float32 in numpy: x y + z rounded once, and chains of them: what the law says of float
products.

The product of two float32 is exact in float64. Its sum with a third is not; rounded to float64 and then to float32 it
would be rounded twice, which differs where the first result lies in the middle between two float32, or below the least
normal one. Only there the sum is rounded to odd instead (Boldo and Melquiond, 2008), after which rounding to float32
gives what one rounding would have given.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..graph import Array

# the bits of a float64 that a float32 has not, and a one before zeros
_BELOW, _MIDDLE = np.int64((1 << 29) - 1), np.int64(1 << 28)
_LEAST = float(np.finfo(np.float32).tiny)


def fma(x: Array, y: Array, z: Array) -> Array:
    """float32 arrays that broadcast: x y + z, rounded once."""
    operands = np.broadcast_arrays(x, y, z)
    return chain(operands[2], [(operands[0], operands[1])])


def chain(start: Array, pairs: Iterable[tuple[Array, Array]]) -> Array:
    """a = start, then a = fma(x, w, a) for each pair in order; float32 of start's shape. x, w: float32 or the same as
    float64.

    start of float64: a = x w + a, in two operations.
    """
    with np.errstate(all="ignore"):
        if start.dtype == np.float64:
            for x, w in pairs:
                start = x * w + start
            return start
        a = np.array(start, np.float64)
        p, s, t = np.empty_like(a), np.empty_like(a), np.empty_like(a)
        bits, near = np.empty(a.shape, np.int64), np.empty(a.shape, np.bool_)
        for x, w in pairs:
            np.multiply(x, w, out=p, dtype=np.float64)
            np.add(p, a, out=s)
            np.bitwise_and(s.view(np.int64), _BELOW, out=bits)
            np.equal(bits, _MIDDLE, out=near)
            tiny = np.less(np.abs(s, out=t), _LEAST)
            near |= tiny
            if near.any():
                s[near] = to_odd(p[near], a[near])
            a[...] = s.astype(np.float32)
        return a.astype(np.float32)


def to_odd(p: Array, a: Array) -> Array:
    """p + a of float64: the sum where it is exact, else that one of its two neighbours whose last bit is set."""
    s = p + a
    b = s - p
    error = (p - (s - b)) + (a - b)
    bits = s.view(np.int64)
    even = (bits & 1) == 0
    away = np.where((error > 0) == (s > 0), 1, -1)
    return np.asarray(np.where((error != 0) & ~np.isnan(error) & even, bits + away, bits).view(np.float64))
