"""exp, log, powers, sigmoid, tanh and erf of float32 from additions, multiplications and divisions alone: the same bits
everywhere.

The C library's and numpy's differ from one CPU and version to the next. These are within 3 units in the last place of
the exact value where that is a normal number (docs/quantization.md); the coefficients are those of Cephes (Moshier,
1992). float64 goes to double_math.py; float16 is computed as float32 and rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from ..graph import Array
from . import double_math
from .float_sums import sum_in_blocks

F32 = np.float32
LOG2E, LN2_HIGH, LN2_LOW = 1.44269504088896341, 0.693359375, -2.12194440e-4
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
EXP_LOW, EXP_HIGH = -104.0, 89.0
TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
TANH_SMALL = 0.625
SQRT_HALF, LEAST = 0.707106781186547524, 1.1754943508222875e-38
LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1,
       -2.4999993993e-1, 3.3333331174e-1)  # fmt: skip
ERF = (7.853861353153693e-5, -8.010193625184903e-4, 5.188327685732524e-3, -2.685381193529856e-2, 1.128358514861418e-1,
       -3.761262582423300e-1, 1.128379165726710)  # fmt: skip
# Abramowitz and Stegun 7.1.26
ERF_SCALE, ERF_FAR = 0.3275911, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
ATANH = tuple(2.0 / k for k in range(17, 0, -2))  # log((1 + s) / (1 - s)) / s in powers of s s
TAYLOR = (1 / 39916800, 1 / 3628800, 1 / 362880, 1 / 40320, 1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0)
LN2, POWER_LIMIT = 0.6931471805599453, 200.0
LANES = 16
GELU_TANH = 0.7978845608028654  # sqrt(2 / pi)


Unary = Callable[[Array], Array]


def beside(double: Unary) -> Callable[[Unary], Unary]:
    """Extend a function of float32 to float64, which `double` computes, and to float16, which is computed as float32
    and rounded."""

    def extend(single: Unary) -> Unary:
        @wraps(single)
        def function(x: Array) -> Array:
            with np.errstate(all="ignore"):
                if x.dtype == F32:
                    return single(x)
                return np.asarray(double(x) if x.dtype == np.float64 else single(x.astype(F32)).astype(x.dtype))

        return function

    return extend


@beside(double_math.exp)
def exp(x: Array) -> Array:
    """e^x = 2^n e^r with n = rint(x log2 e), |r| <= ln(2) / 2, and a polynomial for e^r."""
    clipped = limited(np.where(np.isnan(x), F32(0), x), F32(EXP_LOW), F32(EXP_HIGH))
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
    p = np.full_like(r, r.dtype.type(coefficients[0]))
    for c in coefficients[1:]:
        p = p * r + r.dtype.type(c)
    return p


def _power_of_two(n: Array) -> Array:
    """2^n for -126 <= n <= 127, from its bits."""
    return np.asarray((n + 127).astype(np.int32) << 23, np.int32).view(F32)


@beside(double_math.sigmoid)
def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), without overflow."""
    e = exp(-np.abs(x))
    one = x.dtype.type(1)
    return np.asarray(np.where(x >= 0, one, e) / (one + e), x.dtype)


@beside(double_math.tanh)
def tanh(x: Array) -> Array:
    """A polynomial below 0.625; beyond, 1 - 2 / (e^2|x| + 1)."""
    a = np.abs(x)
    square = x * x
    small = (polynomial(square, TANH) * square) * x + x
    large = F32(1) - F32(2) / (exp(np.where(a > F32(20), F32(20), a) * F32(2)) + F32(1))
    return np.asarray(np.where(a < F32(TANH_SMALL), small, np.where(x < 0, -large, large)), F32)


@beside(double_math.log)
def log(x: Array) -> Array:
    """log x = e log 2 + log(1 + m), -0.3 < m < 0.42, with a polynomial for the latter."""
    small = x < F32(LEAST)
    bits = np.where(small, x * F32(2.0**25), x).view(np.int32)
    e = (bits >> 23) - np.where(small, 151, 126)
    m = ((bits & 0x7FFFFF) | 0x3F000000).astype(np.int32).view(F32)
    low = m < F32(SQRT_HALF)
    m, n = np.where(low, (m + m) - F32(1), m - F32(1)), (e - low).astype(F32)
    square = m * m
    y = (polynomial(m, LOG) * m) * square + n * F32(LN2_LOW)
    y = (m + (y - F32(0.5) * square)) + n * F32(LN2_HIGH)
    y = np.where(x == np.inf, x, np.where(x == 0, F32(-np.inf), y))
    return np.asarray(np.where(x >= 0, y, F32(np.nan)), F32)


@beside(double_math.erf)
def erf(x: Array) -> Array:
    """x times a polynomial of x x up to 1; beyond, 1 - e^(-x x) times one of 1 / (1 + 0.33 |x|). Within 4 units in the
    last place."""
    a, square = np.abs(x), x * x
    t = F32(1) / (F32(1) + a * F32(ERF_SCALE))
    large = F32(1) - (polynomial(t, ERF_FAR) * t) * exp(-square)
    return np.asarray(np.where(a <= F32(1), x * polynomial(square, ERF), np.copysign(large, x)), F32)


@beside(double_math.gelu)
def gelu(x: Array) -> Array:
    return np.asarray((F32(0.5) * x) * (F32(1) + erf(x * F32(SQRT_HALF))))


@beside(double_math.gelu_tanh)
def gelu_tanh(x: Array) -> Array:
    third = F32(0.044715) * x * x * x
    return np.asarray((F32(0.5) * x) * (F32(1) + tanh(F32(GELU_TANH) * (x + third))))


def relu(x: Array) -> Array:
    return np.where(x < 0, x.dtype.type(0), x)


def limited(x: Array, low: float | np.floating[Any], high: float | np.floating[Any]) -> Array:
    """Within bounds; what is not a number stays so."""
    x = np.where(x < low, low, x)
    return np.where(x > high, high, x)


def hard_sigmoid(x: Array, alpha: np.float32, beta: np.float32) -> Array:
    return limited(x * alpha + beta, F32(0), F32(1))


def power(x: Array, exponent: np.float32) -> Array:
    """x^y for one y, in float64, rounded to float32 at the end: |x|^y = e^(y log |x|); the sign is that of an odd y's
    x."""
    with np.errstate(all="ignore"):
        y = float(exponent)
        bits = np.abs(x).astype(np.float64).view(np.int64)
        e = (bits >> 52) - 1022
        m = ((bits & ((1 << 52) - 1)) | (1022 << 52)).view(np.float64)
        low = m < SQRT_HALF
        m, n = np.where(low, m + m, m), (e - low).astype(np.float64)
        s = (m - 1.0) / (m + 1.0)
        z = y * (n * LN2 + s * polynomial(s * s, ATANH))
        z = np.where(z < -POWER_LIMIT, -POWER_LIMIT, np.where(z > POWER_LIMIT, POWER_LIMIT, z))
        rounded = np.rint(z * LOG2E)
        scale = ((rounded.astype(np.int64) + 1023) << 52).view(np.float64)
        p = (polynomial(z - rounded * LN2, TAYLOR) * scale).astype(F32)
        zero, far = (F32(0), F32(np.inf)) if y > 0 else (F32(np.inf), F32(0))
        p = np.where(x == 0, zero, np.where(np.abs(x) == np.inf, far, p))
        of_less = np.where(x == -np.inf, p, F32(np.nan)) if y != np.rint(y) else -p if y % 2 else p
        p = np.where(x < 0, of_less, p)
        return np.asarray(np.where(np.isnan(x), x, p), F32)


def larger(x: Array, y: Array) -> Array:
    """The larger, y of equal ones; not a number where either is."""
    return np.where(x != x, x, np.where((y >= x) | (y != y), y, x))


def smaller(x: Array, y: Array) -> Array:
    """The smaller, y of equal ones; not a number where either is."""
    return np.where(x != x, x, np.where((y <= x) | (y != y), y, x))


def ordered_max(x: Array) -> Array:
    """The largest over the last axis of float32, in the order of `ordered_sum`."""
    pad = -x.shape[-1] % LANES
    rounded = np.concatenate([x, np.full((*x.shape[:-1], pad), -np.inf, x.dtype)], -1).reshape(*x.shape[:-1], -1, LANES)
    best = np.full((*x.shape[:-1], LANES), -np.inf, x.dtype)
    for k in range(rounded.shape[-2]):
        best = larger(best, rounded[..., k, :])
    width = LANES
    while width > 1:
        width //= 2
        best = larger(best[..., :width], best[..., width : 2 * width])
    return np.asarray(best[..., 0])


def ordered_sum(x: Array) -> Array:
    """Sum over the last axis of float32 in one fixed order: 16 sums of every 16th element, in blocks, whose halves are
    then added."""
    pad = -x.shape[-1] % LANES
    rounded = np.concatenate([x, np.zeros((*x.shape[:-1], pad), x.dtype)], -1).reshape(*x.shape[:-1], -1, LANES)
    total = sum_in_blocks(np.moveaxis(rounded, -2, 0))
    width = LANES
    while width > 1:
        width //= 2
        total = total[..., :width] + total[..., width : 2 * width]
    return np.asarray(total[..., 0])


def softmax(x: Array, axis: int) -> Array:
    """e^(x - max) / sum, the sum in the order of `ordered_sum`."""
    moved = np.moveaxis(x, axis, -1)
    e = exp(moved - ordered_max(moved)[..., None])
    return np.asarray(np.moveaxis(e / ordered_sum(e)[..., None], -1, axis))


def log_softmax(x: Array, axis: int) -> Array:
    """(x - max) - log(sum of e^(x - max)), the sum in the order of `ordered_sum`."""
    moved = np.moveaxis(x, axis, -1)
    less = moved - ordered_max(moved)[..., None]
    return np.asarray(np.moveaxis(less - log(ordered_sum(exp(less)))[..., None], -1, axis))
