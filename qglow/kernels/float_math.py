"""exp, log, powers, sigmoid, tanh and erf of float vectors: `qglow/reference/float_math.py`, operation by operation."""

from __future__ import annotations

from llvmlite import ir

from ..reference.float_math import (
    ATANH,
    ERF,
    ERF_FAR,
    ERF_SCALE,
    EXP,
    EXP_HIGH,
    EXP_LOW,
    LEAST,
    LN2,
    LN2_HIGH,
    LN2_LOW,
    LOG,
    LOG2E,
    POWER_LIMIT,
    SQRT_HALF,
    TANH,
    TANH_SMALL,
    TAYLOR,
)
from .fused import F64
from .vector import F32, I32, I64, call, clamp, const, rint, splat, to_int, vec


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
    rounded = to_int(b, n)
    half = b.ashr(rounded, const(vec(I32, t.count), 1))
    y = b.fmul(b.fmul(y, power_of_two(b, half, t)), power_of_two(b, b.sub(rounded, half), t))
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
    limited = b.select(
        b.fcmp_unordered(">", a, const(t, 20.0)), b.select(b.fcmp_unordered("uno", a, a), a, const(t, 20.0)), a
    )
    large = b.fsub(const(t, 1.0), b.fdiv(const(t, 2.0), b.fadd(exp(b, b.fmul(limited, const(t, 2.0))), const(t, 1.0))))
    signed = b.select(b.fcmp_ordered("<", x, const(t, 0.0)), negated(b, large), large)
    return b.select(b.fcmp_ordered("<", a, const(t, TANH_SMALL)), small, signed)


def log(b, x):
    t, ints = x.type, vec(I32, x.type.count)
    small = b.fcmp_ordered("<", x, const(t, LEAST))
    bits = b.bitcast(b.select(small, b.fmul(x, const(t, 2.0**25)), x), ints)
    e = b.sub(b.ashr(bits, const(ints, 23)), b.select(small, const(ints, 151), const(ints, 126)))
    m = b.bitcast(b.or_(b.and_(bits, const(ints, 0x7FFFFF)), const(ints, 0x3F000000)), t)
    low = b.fcmp_ordered("<", m, const(t, SQRT_HALF))
    m = b.fsub(b.select(low, b.fadd(m, m), m), const(t, 1.0))
    n = b.sitofp(b.sub(e, b.zext(low, ints)), t)
    square = b.fmul(m, m)
    y = b.fadd(b.fmul(b.fmul(polynomial(b, m, LOG), m), square), b.fmul(n, const(t, LN2_LOW)))
    y = b.fadd(b.fadd(m, b.fsub(y, b.fmul(const(t, 0.5), square))), b.fmul(n, const(t, LN2_HIGH)))
    y = b.select(b.fcmp_ordered("==", x, const(t, 0.0)), const(t, float("-inf")), y)
    y = b.select(b.fcmp_ordered("==", x, const(t, float("inf"))), x, y)
    return b.select(b.fcmp_ordered(">=", x, const(t, 0.0)), y, const(t, float("nan")))


def erf(b, x):
    t, one = x.type, const(x.type, 1.0)
    a, square = magnitude(b, x), b.fmul(x, x)
    far = b.fdiv(one, b.fadd(one, b.fmul(a, const(t, ERF_SCALE))))
    large = b.fsub(one, b.fmul(b.fmul(polynomial(b, far, ERF_FAR), far), exp(b, negated(b, square))))
    signed = b.select(b.fcmp_ordered("<", x, const(t, 0.0)), negated(b, large), large)
    return b.select(b.fcmp_ordered("<=", a, one), b.fmul(x, polynomial(b, square, ERF)), signed)


def gelu(b, x):
    t = x.type
    return b.fmul(b.fmul(const(t, 0.5), x), b.fadd(const(t, 1.0), erf(b, b.fmul(x, const(t, SQRT_HALF)))))


def limited(b, x, low, high):
    """Within bounds; what is not a number stays so."""
    x = b.select(b.fcmp_ordered("<", x, low), low, x)
    return b.select(b.fcmp_ordered(">", x, high), high, x)


def hard_sigmoid(b, x, alpha, beta):
    return limited(b, b.fadd(b.fmul(x, alpha), beta), const(x.type, 0.0), const(x.type, 1.0))


def power(b, x, exponent, parity):
    """exponent: a float scalar; parity: 0 where it is no integer, 1 where it is an odd, 2 where it is an even one."""
    n = x.type.count
    t, t64, i64s = x.type, vec(F64, n), vec(I64, n)
    y = splat(b, b.fpext(exponent, F64), n)
    a = magnitude(b, x)
    bits = b.bitcast(b.fpext(a, t64), i64s)
    e = b.sub(b.lshr(bits, const(i64s, 52)), const(i64s, 1022))
    m = b.bitcast(b.or_(b.and_(bits, const(i64s, (1 << 52) - 1)), const(i64s, 1022 << 52)), t64)
    low = b.fcmp_ordered("<", m, const(t64, SQRT_HALF))
    m = b.select(low, b.fadd(m, m), m)
    count = b.sitofp(b.trunc(b.sub(e, b.zext(low, i64s)), vec(I32, n)), t64)
    s = b.fdiv(b.fsub(m, const(t64, 1.0)), b.fadd(m, const(t64, 1.0)))
    z = b.fmul(y, b.fadd(b.fmul(count, const(t64, LN2)), b.fmul(s, polynomial(b, b.fmul(s, s), ATANH))))
    z = b.select(b.fcmp_ordered("<", z, const(t64, -POWER_LIMIT)), const(t64, -POWER_LIMIT), z)
    z = b.select(b.fcmp_ordered(">", z, const(t64, POWER_LIMIT)), const(t64, POWER_LIMIT), z)
    known = b.select(b.fcmp_ordered("ord", z, z), z, const(t64, 0.0))
    rounded = call(b, f"llvm.rint.v{n}f64", t64, b.fmul(known, const(t64, LOG2E)))
    shift = b.sext(b.fptosi(rounded, vec(I32, n)), i64s)
    scale = b.bitcast(b.shl(b.add(shift, const(i64s, 1023)), const(i64s, 52)), t64)
    p = b.fptrunc(b.fmul(polynomial(b, b.fsub(z, b.fmul(rounded, const(t64, LN2))), TAYLOR), scale), t)
    grows = b.fcmp_ordered(">", exponent, ir.Constant(F32, 0.0))
    zero, inf = ir.Constant(F32, 0.0), ir.Constant(F32, float("inf"))
    of_zero, of_far = (splat(b, v, n) for v in (b.select(grows, zero, inf), b.select(grows, inf, zero)))
    p = b.select(b.fcmp_ordered("==", a, const(t, float("inf"))), of_far, p)
    p = b.select(b.fcmp_ordered("==", x, const(t, 0.0)), of_zero, p)
    bit = splat(b, b.icmp_signed("==", parity, ir.Constant(I64, 1)), n)
    of_less = b.select(bit, negated(b, p), p)
    of_finite = b.select(b.fcmp_ordered("==", a, const(t, float("inf"))), p, const(t, float("nan")))
    of_less = b.select(splat(b, b.icmp_signed("==", parity, ir.Constant(I64, 0)), n), of_finite, of_less)
    p = b.select(b.fcmp_ordered("<", x, const(t, 0.0)), of_less, p)
    return b.select(b.fcmp_unordered("uno", x, x), x, p)
