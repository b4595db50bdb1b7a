"""Functions of float64 from additions, multiplications, divisions and square roots alone: the same bits on every
machine.

numpy and the C library choose other code for other CPUs and versions. Each function here is one order of IEEE float64
operations, within 4 units in the last place of float64 (docs/quantization.md, 30). A float32 function is one of these,
rounded once, so that it is within 0.501 units of float32 (31). Arguments and results are float64 arrays of any shape;
the caller suppresses floating point warnings.
"""

from __future__ import annotations

from functools import lru_cache
from math import factorial

import numpy as np

from ..graph import Array

F64 = np.float64
LOG2E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10  # the first has 32 bits: n LN2_HIGH is exact
EXP_TERMS = tuple(1 / factorial(k) for k in range(14, 1, -1))  # (e^r - 1 - r) / r^2 in powers of r
LOG_TERMS = tuple(2.0 / k for k in range(25, 1, -2))  # (log((1 + s) / (1 - s)) - 2 s) / s^3 in powers of s s
SIN_TERMS = tuple((-1.0) ** k / factorial(2 * k + 1) for k in range(9, 0, -1))  # (sin r - r) / r^3 in powers of r r
# (cos r - 1 + r r / 2) / r^4 in powers of r r
COS_TERMS = tuple((-1.0) ** k / factorial(2 * k) for k in range(9, 1, -1))
HALF_PI = (1.5707963109016418, 1.5893254712295857e-08, 6.123233995736766e-17)  # the first two have 25 bits at most
HALF_PI_NEAR = 2.0**25  # |x| up to which the quotient by pi / 2 has at most 25 bits
ATAN_TERMS = tuple((-1.0) ** k / (2 * k + 1) for k in range(13, 0, -1))  # (atan t - t) / t^3 in powers of t t
ATAN_STEPS = 8  # atan is tabled at multiples of 1 / 8
SQRT_HALF = 0.7071067811865476


def polynomial(r: Array, coefficients: tuple[float, ...]) -> Array:
    """Horner's rule, highest power first."""
    p = np.full_like(r, coefficients[0])
    for c in coefficients[1:]:
        p = p * r + c
    return p


def power_of_two(n: Array) -> Array:
    """2^n for int64 n with -1022 <= n <= 1023, from its bits."""
    return np.asarray((n + 1023) << 52, np.int64).view(F64)


def known(x: Array) -> Array:
    """x with 0 where it is NaN, so that conversions to integers are defined."""
    return np.where(x == x, x, 0.0)


def bounded(x: Array, low: float, high: float) -> Array:
    """x within bounds; 0 where it is NaN."""
    x = known(x)
    x = np.where(x < low, low, x)
    return np.where(x > high, high, x)


def reduced_exp(x: Array) -> tuple[Array, Array]:
    """n and e^r - 1 of x = n log 2 + r, |r| <= log(2) / 2. x: within +-800."""
    n = np.rint(x * LOG2E)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    return n.astype(np.int64), (r * r) * polynomial(r, EXP_TERMS) + r


def exp(x: Array) -> Array:
    n, p = reduced_exp(bounded(x, -800.0, 800.0))
    half = n >> 1
    y = ((p + 1.0) * power_of_two(half)) * power_of_two(n - half)
    return np.where(x == x, y, x)


def expm1(x: Array) -> Array:
    """e^x - 1 = (2^n - 1) + 2^n (e^r - 1)."""
    n, p = reduced_exp(bounded(x, -60.0, 60.0))
    scale = power_of_two(n)
    near = (scale - 1.0) + scale * p
    return np.where(x > 60.0, exp(x), np.where(x < -60.0, -1.0, np.where(x == 0, x, np.where(x == x, near, x))))


def split(x: Array) -> tuple[Array, Array]:
    """(m, n) of positive, finite x = m 2^n with sqrt(1/2) <= m < sqrt(2); n as float64."""
    small = x < 2.0**-1022
    bits = np.where(small, x * 2.0**54, x).view(np.int64)
    e = (bits >> 52) - np.where(small, 1022 + 54, 1022)
    m = ((bits & ((1 << 52) - 1)) | (1022 << 52)).view(F64)
    low = m < SQRT_HALF
    return np.where(low, m + m, m), (e - low).astype(F64)


def log(x: Array) -> Array:
    """log x = n log 2 + log(1 + f); with s = f / (2 + f) the latter is f - (f f / 2 - s (f f / 2 + s s R(s s)))."""
    positive = (x > 0) & (x < np.inf)
    m, n = split(np.where(positive, x, 1.0))
    f = m - 1.0
    s, half = f / (f + 2.0), (f * 0.5) * f
    square = s * s
    tail = s * (half + square * polynomial(square, LOG_TERMS)) + n * LN2_LOW
    y = n * LN2_HIGH - ((half - tail) - f)
    return np.where(positive, y, np.where(x == 0, -np.inf, np.where(x == np.inf, x, np.nan)))


def log1p(x: Array) -> Array:
    """log(1 + x): that of u = 1 + x rounded, and the rest that rounding lost, over u."""
    u = x + 1.0
    plain = (u > 0) & (u < np.inf)
    lost = np.where(np.abs(x) < 1.0, x - (u - 1.0), 1.0 - (u - x))
    y = log(u) + np.where(plain, lost / np.where(plain, u, 1.0), 0.0)
    return np.where(x == 0, x, np.where(x == np.inf, x, y))


def quarter_turns(x: Array) -> tuple[Array, Array]:
    """(n mod 4, r) of x = n pi / 2 + r, |r| <= pi / 4 or little more; r is NaN where x is not finite."""
    finite = np.abs(x) < np.inf
    far = finite & (np.abs(x) >= HALF_PI_NEAR)
    v = np.where(finite & ~far, x, 0.0)
    n = np.rint(v * (2 / np.pi))
    r = ((v - n * HALF_PI[0]) - n * HALF_PI[1]) - n * HALF_PI[2]
    turns = n.astype(np.int64) & 3
    if far.any():
        count, rest = far_turns(np.where(far, x, HALF_PI_NEAR))
        turns, r = np.where(far, count, turns), np.where(far, rest, r)
    return turns, np.where(finite, r, np.nan)


def far_turns(x: Array) -> tuple[Array, Array]:
    """`quarter_turns` of |x| = (high 2^27 + low) 2^(e - 52) >= 2^25, high of 26 bits: each times the rows of
    `turn_parts`."""
    bits = x.view(np.int64)
    e = ((bits >> 52) & 2047) - 1023
    m = (bits & ((1 << 52) - 1)) | (1 << 52)
    high, low = (m >> 27).astype(F64), (m & ((1 << 27) - 1)).astype(F64)
    table = turn_parts()
    h, w = table[e - 25 + 27], table[e - 52 + 27]
    count, t = np.zeros(x.shape, np.int64), np.zeros(x.shape, F64)
    for term in (high * h[..., 0], low * w[..., 0], high * h[..., 1], low * w[..., 1]):
        t = t + (term - np.rint(term))
        rounded = np.rint(t)
        t, count = t - rounded, count + np.rint(term).astype(np.int64) + rounded.astype(np.int64)
    for k in range(2, PARTS):
        t = (t + high * h[..., k]) + low * w[..., k]
    r = t * 1.5707963267948966
    return np.where(x < 0, -count, count) & 3, np.where(x < 0, -r, r)


PARTS = 5


@lru_cache(maxsize=1)
def turn_parts() -> Array:
    """float64 [1026, 5]: 2^(row - 27) 2 / pi modulo 4 as the sum of 5 numbers, multiples of 2^-24, 2^-50, ... of 26
    bits each."""
    bits = 1200
    two_over_pi, last = (2 << (2 * bits)) // _pi(bits), 26 * PARTS - 2
    rows = []
    for power in range(-27, 999):
        left = ((two_over_pi << (power + 27)) >> (bits + 27 - last)) % (4 << last)  # in units of 2^-last
        parts = []
        for k in range(PARTS):
            unit = 1 << (26 * (PARTS - 1 - k))
            parts.append(float(left // unit) * 2.0 ** -(26 * k + 24))
            left %= unit
        rows.append(parts)
    return np.array(rows, F64)


def _pi(bits: int) -> int:
    """pi 2^bits, from Machin's formula: pi / 4 = 4 atan(1 / 5) - atan(1 / 239)."""
    one = 1 << (bits + 64)

    def atan_inverse(k: int) -> int:
        term, total, odd, sign = one // k, 0, 1, 1
        while term:
            total += sign * (term // odd)
            term, odd, sign = term // (k * k), odd + 2, -sign
        return total

    return (4 * (4 * atan_inverse(5) - atan_inverse(239))) >> 64


def _sine(r: Array) -> Array:
    square = r * r
    return (square * r) * polynomial(square, SIN_TERMS) + r


def _cosine(r: Array) -> Array:
    square = r * r
    return ((square * square) * polynomial(square, COS_TERMS) - 0.5 * square) + 1.0


def sin(x: Array) -> Array:
    n, r = quarter_turns(x)
    y = np.where(n & 1, _cosine(r), _sine(r))
    return np.where(x == 0, x, np.where(n & 2, -y, y))


def cos(x: Array) -> Array:
    n, r = quarter_turns(x)
    y = np.where(n & 1, _sine(r), _cosine(r))
    return np.where((n + 1) & 2, -y, y)


def tan(x: Array) -> Array:
    n, r = quarter_turns(x)
    s, c = _sine(r), _cosine(r)
    return np.where(x == 0, x, np.where(n & 1, -c / s, s / c))


def sinh(x: Array) -> Array:
    """(t + t / (t + 1)) / 2 with t = e^|x| - 1."""
    a = np.abs(x)
    t, large = expm1(np.where(a > 60.0, 0.0, a)), exp(a * 0.5)
    y = np.where(a > 60.0, (large * 0.5) * large, 0.5 * (t + t / (t + 1.0)))
    return np.where(x == 0, x, np.where(x < 0, -y, y))


def cosh(x: Array) -> Array:
    a = np.abs(x)
    e, large = exp(np.where(a > 60.0, 0.0, a)), exp(a * 0.5)
    return np.where(a > 60.0, (large * 0.5) * large, 0.5 * (e + 1.0 / e))


def tanh(x: Array) -> Array:
    """t / (t + 2) with t = e^(2 |x|) - 1."""
    a = np.abs(x)
    t = expm1(np.where(a > 20.0, 20.0, a) * 2.0)
    y = np.where(a > 20.0, 1.0, t / (t + 2.0))
    return np.where((x == 0) | (x != x), x, np.where(x < 0, -y, y))


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), without overflow."""
    e = exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (e + 1.0)


def softplus(x: Array) -> Array:
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
    return np.where(x > 0, x, 0.0) + log1p(exp(-np.abs(x)))


def mish(x: Array) -> Array:
    """x tanh(softplus(x)) = x n / (n + 2) with n = e^x (e^x + 2)."""
    e = exp(np.where(x > 20.0, 20.0, x))
    n = e * (e + 2.0)
    return np.where(x > 20.0, x, x * (n / (n + 2.0)))


@lru_cache(maxsize=1)
def atan_table() -> tuple[Array, Array]:
    """atan(k / 8) for k = 0 ... 8 as two float64 whose sum has 106 bits: its series in exact fractions."""
    from fractions import Fraction  # NOTE: few models need it, and every process starts here

    high, low = [0.0], [0.0]
    total = Fraction(0)
    for k in range(1, ATAN_STEPS + 1):  # atan(k / 8) - atan((k - 1) / 8) = atan(8 / (64 + k (k - 1)))
        t = Fraction(ATAN_STEPS, ATAN_STEPS**2 + k * (k - 1))
        total += sum((Fraction((-1) ** j, 2 * j + 1) * t ** (2 * j + 1) for j in range(36)), Fraction(0))
        total = Fraction(round(total * 2**140), 2**140)
        high.append(float(total))
        low.append(float(total - Fraction(high[-1])))
    return np.array(high), np.array(low)


def atan(x: Array) -> Array:
    """atan a = atan(k / 8) + atan((a - k / 8) / (1 + a k / 8)) with k / 8 near a, a = |x| or 1 / |x|."""
    a = np.abs(x)
    turned = a > 1.0
    a = known(np.where(turned, 1.0 / a, a))
    k = np.rint(a * ATAN_STEPS)
    near = k * (1 / ATAN_STEPS)
    t = (a - near) / (a * near + 1.0)
    square = t * t
    high, low = (table[k.astype(np.int64)] for table in atan_table())
    small = ((square * t) * polynomial(square, ATAN_TERMS) + low) + t
    y = high + small
    y = np.where(turned, (1.5707963267948966 - high) - (small - 6.123233995736766e-17), y)
    return np.where((x == 0) | (x != x), x, np.where(x < 0, -y, y))


def asin(x: Array) -> Array:
    return np.where(x == 0, x, atan(x / np.sqrt((1.0 - x) * (1.0 + x))))


def acos(x: Array) -> Array:
    return 2.0 * atan(np.sqrt((1.0 - x) / (1.0 + x)))


def asinh(x: Array) -> Array:
    a = np.abs(x)
    v = np.where(a > 1e8, 0.0, a)
    y = np.where(a > 1e8, log(a) + 0.6931471805599453, log1p(v + (v * v) / (1.0 + np.sqrt(v * v + 1.0))))
    return np.where((x == 0) | (x != x), x, np.where(x < 0, -y, y))


def acosh(x: Array) -> Array:
    t = np.where(x > 1e8, 0.0, np.where(x < 1.0, np.nan, x - 1.0))  # NOTE: far below 1 the sum that follows cancels
    return np.where(x > 1e8, log(x) + 0.6931471805599453, log1p(t + np.sqrt(t * (t + 2.0))))


def atanh(x: Array) -> Array:
    a = np.abs(x)
    y = 0.5 * log1p((a + a) / (1.0 - a))
    return np.where((x == 0) | (x != x), x, np.where(x < 0, -y, y))


ERF_TERMS = 60
ERFC_DEPTH = 60
ERF_NEAR = 2.5


def erf(x: Array) -> Array:
    """Up to 2.5: 2 / sqrt(pi) e^(-x x) (x + 2 x^3 / 3 + 4 x^5 / 15 + ...); beyond: 1 less the continued fraction of
    erfc."""
    a = np.abs(x)
    near = np.where(a < ERF_NEAR, a, 0.0)
    square, total = near * near, np.ones_like(near)
    for k in range(ERF_TERMS, 0, -1):
        total = total * (square * (2.0 / (2 * k + 1))) + 1.0
    small = (exp(-square) * (near * 1.1283791670955126)) * total
    far = np.where((a >= ERF_NEAR) & (a < 6.0), a, 6.0)
    fraction = far
    for k in range(ERFC_DEPTH, 0, -1):
        fraction = far + (0.5 * k) / fraction
    large = 1.0 - exp(-(far * far)) * 0.5641895835477563 / fraction
    y = np.where(a < ERF_NEAR, small, large)
    return np.where((x == 0) | (x != x), x, np.where(x < 0, -y, y))


POWER_BITS = 6


def whole_power(a: Array, n: Array) -> Array:
    """a^n for int64 |n| < 2^6 by squaring: exact where all products are. 1 / a^|n| for negative n."""
    y, left = np.ones_like(a), np.abs(n)
    for _ in range(POWER_BITS):
        y, a, left = np.where(left & 1, y * a, y), a * a, left >> 1
    return np.where(n < 0, 1.0 / y, y)


def power(x: Array, y: Array) -> Array:
    """x^y as in IEEE 754: by squaring for small whole y, sqrt for 1 / 2; else e^(y log |x|), within 2^-52 |y log x| or
    so.

    The sign is that of x where y is odd.
    """
    x, y = np.broadcast_arrays(x, y)
    a = np.abs(x)
    usual = (a > 0) & (a < np.inf) & (np.abs(y) < np.inf)
    base, times = np.where(usual, a, 1.0), np.where(usual, y, 0.0)
    p = np.where(times == 0.5, np.sqrt(base), exp(times * log(base)))
    small = (times == np.rint(times)) & (np.abs(times) < 2.0**POWER_BITS)
    p = np.where(small, whole_power(base, np.where(small, times, 0.0).astype(np.int64)), p)
    grows = np.where(a > 1, y > 0, y < 0)
    p = np.where(usual | (y != y), p, np.where(grows, np.inf, 0.0))
    integral = y == np.rint(y)
    odd = integral & (np.abs(y) < 2.0**53) & (y * 0.5 != np.rint(y * 0.5))
    p = np.where(np.signbit(x) & odd, -p, p)
    p = np.where((x < 0) & ~integral & (a < np.inf), np.nan, p)
    p = np.where((x != x) | (y != y), np.nan, p)
    return np.where((y == 0) | (x == 1) | ((a == 1) & (np.abs(y) == np.inf)), 1.0, p)


def gelu(x: Array) -> Array:
    return (0.5 * x) * (1.0 + erf(x * SQRT_HALF))


def gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
