"""exp, sigmoid and tanh of float vectors: `qglow/reference/float_math.py`, operation by operation."""

from __future__ import annotations

from ..reference.float_math import EXP, EXP_HIGH, EXP_LOW, LN2_HIGH, LN2_LOW, LOG2E, TANH, TANH_SMALL
from .vector import I32, call, clamp, const, rint, to_int, vec


def polynomial(b, r, coefficients):
    p = const(r.type, coefficients[0])
    for c in coefficients[1:]:
        p = b.fadd(b.fmul(p, r), const(r.type, c))
    return p


def power_of_two(b, n, t):
    return b.bitcast(b.shl(b.add(n, const(n.type, 127)), const(n.type, 23)), t)


def exp(b, x):
    t = x.type
    nan = b.fcmp_unordered("uno", x, x)
    clipped = b.select(nan, const(t, 0.0), clamp(b, x, const(t, EXP_LOW), const(t, EXP_HIGH)))
    n = rint(b, b.fmul(clipped, const(t, LOG2E)))
    r = b.fsub(b.fsub(clipped, b.fmul(n, const(t, LN2_HIGH))), b.fmul(n, const(t, LN2_LOW)))
    p = polynomial(b, r, EXP)
    y = b.fadd(b.fadd(b.fmul(p, b.fmul(r, r)), r), const(t, 1.0))
    whole = to_int(b, n)
    half = b.ashr(whole, const(vec(I32, t.count), 1))
    y = b.fmul(b.fmul(y, power_of_two(b, half, t)), power_of_two(b, b.sub(whole, half), t))
    return b.select(nan, x, y)


def magnitude(b, x):
    return call(b, f"llvm.fabs.v{x.type.count}f32", x.type, x)


def negated(b, x):
    return b.bitcast(b.xor(b.bitcast(x, vec(I32, x.type.count)), const(vec(I32, x.type.count), -(2**31))), x.type)


def sigmoid(b, x):
    one = const(x.type, 1.0)
    e = exp(b, negated(b, magnitude(b, x)))
    return b.fdiv(b.select(b.fcmp_ordered(">=", x, const(x.type, 0.0)), one, e), b.fadd(one, e))


def tanh(b, x):
    t = x.type
    square = b.fmul(x, x)
    small = b.fadd(b.fmul(b.fmul(polynomial(b, square, TANH), square), x), x)
    a = magnitude(b, x)
    limited = b.select(b.fcmp_unordered(">", a, const(t, 20.0)), b.select(b.fcmp_unordered("uno", a, a), a, const(t, 20.0)), a)
    large = b.fsub(const(t, 1.0), b.fdiv(const(t, 2.0), b.fadd(exp(b, b.fmul(limited, const(t, 2.0))), const(t, 1.0))))
    signed = b.select(b.fcmp_ordered("<", x, const(t, 0.0)), negated(b, large), large)
    return b.select(b.fcmp_ordered("<", a, const(t, TANH_SMALL)), small, signed)
