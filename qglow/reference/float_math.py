"""exp, sigmoid and tanh of float32 from additions, multiplications and divisions alone: the same bits on every machine.

The C library's and numpy's differ from one CPU and version to the next. These are within 3 units in the last place of the exact value
where that is a normal number (docs/quantization.md); the coefficients are those of Cephes (Moshier, 1992). float64 goes to numpy.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array

F32 = np.float32
LOG2E, LN2_HIGH, LN2_LOW = 1.44269504088896341, 0.693359375, -2.12194440e-4
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
EXP_LOW, EXP_HIGH = -104.0, 89.0
TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
TANH_SMALL = 0.625
LANES = 16


def exp(x: Array) -> Array:
    """e^x = 2^n e^r with n = rint(x log2 e), |r| <= ln(2) / 2, and a polynomial for e^r."""
    if x.dtype != F32:
        return np.asarray(np.exp(x))
    with np.errstate(all="ignore"):
        clipped = np.minimum(np.maximum(x, F32(EXP_LOW)), F32(EXP_HIGH))
        clipped = np.where(np.isnan(x), F32(0), clipped)
        n = np.rint(clipped * F32(LOG2E))
        r = (clipped - n * F32(LN2_HIGH)) - n * F32(LN2_LOW)
        p = polynomial(r, EXP)
        y = (p * (r * r) + r) + F32(1)
        half = (n.astype(np.int32)) >> 1
        rest = n.astype(np.int32) - half
        y = (y * _power_of_two(half)) * _power_of_two(rest)  # NOTE: in two steps, for results below the least normal number
        return np.asarray(np.where(np.isnan(x), x, y), F32)


def polynomial(r: Array, coefficients: tuple[float, ...]) -> Array:
    """Horner's rule, highest power first."""
    p = np.full_like(r, F32(coefficients[0]))
    for c in coefficients[1:]:
        p = p * r + F32(c)
    return p


def _power_of_two(n: Array) -> Array:
    """2^n for -126 <= n <= 127, from its bits."""
    return np.asarray((n + 127).astype(np.int32) << 23, np.int32).view(F32)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), without overflow."""
    e = exp(-np.abs(x))
    one = x.dtype.type(1)
    return np.asarray(np.where(x >= 0, one, e) / (one + e), x.dtype)


def tanh(x: Array) -> Array:
    """A polynomial below 0.625; beyond, 1 - 2 / (e^2|x| + 1)."""
    if x.dtype != F32:
        return np.asarray(np.tanh(x))
    a = np.abs(x)
    square = x * x
    small = (polynomial(square, TANH) * square) * x + x
    large = F32(1) - F32(2) / (exp(np.minimum(a, F32(20)) * F32(2)) + F32(1))
    return np.asarray(np.where(a < F32(TANH_SMALL), small, np.where(x < 0, -large, large)), F32)


def ordered_sum(x: Array) -> Array:
    """Sum over the last axis of float32 in one fixed order: 16 sums of every 16th element, then halves of them added together."""
    pad = -x.shape[-1] % LANES
    whole = np.concatenate([x, np.zeros((*x.shape[:-1], pad), x.dtype)], -1).reshape(*x.shape[:-1], -1, LANES)
    total = np.zeros((*x.shape[:-1], LANES), x.dtype)
    for k in range(whole.shape[-2]):
        total = total + whole[..., k, :]
    width = LANES
    while width > 1:
        width //= 2
        total = total[..., :width] + total[..., width : 2 * width]
    return np.asarray(total[..., 0])


def softmax(x: Array, axis: int) -> Array:
    """e^(x - max) / sum, the sum in the order of `ordered_sum`."""
    moved = np.moveaxis(x, axis, -1)
    e = exp(moved - moved.max(-1, keepdims=True))
    total = ordered_sum(e) if x.dtype == F32 else e.sum(-1)
    return np.asarray(np.moveaxis(e / total[..., None], -1, axis))
