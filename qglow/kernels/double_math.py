"""Functions of float vectors computed in float64 and rounded once: `qglow/reference/double_math.py`, operation by
operation."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from ..reference.double_math import (
    COS_TERMS,
    EXP_TERMS,
    HALF_PI,
    HALF_PI_NEAR,
    LN2_HIGH,
    LN2_LOW,
    LOG2E,
    LOG_TERMS,
    PARTS,
    SIN_TERMS,
    SQRT_HALF,
    turn_parts,
)
from .float_math import polynomial
from .fused import F64
from .vector import I32, I64, call, const, vec

FRACTION = (1 << 52) - 1
FLOAT_ROWS = 27 + 128 - 25  # of turn_parts that numbers of float32 reach


def widened(function):
    """A function of float64 vectors as one of float vectors."""
    return lambda b, *xs: b.fptrunc(function(b, *(b.fpext(x, vec(F64, x.type.count)) for x in xs)), xs[0].type)


def rint(b, x):
    return call(b, f"llvm.rint.v{x.type.count}f64", x.type, x)


def to_i64(b, x):
    """A whole number below 2^31 as an int64."""
    n = x.type.count
    return b.sext(b.fptosi(x, vec(I32, n)), vec(I64, n))


def magnitude(b, x):
    return call(b, f"llvm.fabs.v{x.type.count}f64", x.type, x)


def is_number(b, x):
    return b.fcmp_ordered("ord", x, x)


def power_of_two(b, n, t):
    return b.bitcast(b.shl(b.add(n, const(n.type, 1023)), const(n.type, 52)), t)


def reduced_exp(b, x, bound):
    """n as an int64, 2^n (e^r - 1 known of it as p), of x = n log 2 + r within a bound; of what is no number, of 0."""
    t = x.type
    v = b.select(is_number(b, x), x, const(t, 0.0))
    v = b.select(b.fcmp_ordered("<", v, const(t, -bound)), const(t, -bound), v)
    v = b.select(b.fcmp_ordered(">", v, const(t, bound)), const(t, bound), v)
    rounded = rint(b, b.fmul(v, const(t, LOG2E)))
    r = b.fsub(b.fsub(v, b.fmul(rounded, const(t, LN2_HIGH))), b.fmul(rounded, const(t, LN2_LOW)))
    return to_i64(b, rounded), b.fadd(b.fmul(b.fmul(r, r), polynomial(b, r, EXP_TERMS)), r)


def exp(b, x):
    t = x.type
    n, p = reduced_exp(b, x, 800.0)
    half = b.ashr(n, const(n.type, 1))
    y = b.fmul(b.fadd(p, const(t, 1.0)), power_of_two(b, half, t))
    return b.select(is_number(b, x), b.fmul(y, power_of_two(b, b.sub(n, half), t)), x)


def expm1(b, x):
    t, one = x.type, const(x.type, 1.0)
    n, p = reduced_exp(b, x, 60.0)
    scale = power_of_two(b, n, t)
    y = b.fadd(b.fsub(scale, one), b.fmul(scale, p))
    y = b.select(b.and_(is_number(b, x), b.fcmp_ordered("!=", x, const(t, 0.0))), y, x)
    y = b.select(b.fcmp_ordered("<", x, const(t, -60.0)), const(t, -1.0), y)
    return b.select(b.fcmp_ordered(">", x, const(t, 60.0)), exp(b, x), y)


def elu(b, x, alpha, gamma=None):
    """alpha, gamma: vectors of float64; no gamma is 1."""
    y = b.select(b.fcmp_ordered(">", x, const(x.type, 0.0)), x, b.fmul(alpha, expm1(b, x)))
    return y if gamma is None else b.fmul(gamma, y)


def celu(b, x, alpha):
    return b.select(b.fcmp_ordered(">", x, const(x.type, 0.0)), x, b.fmul(alpha, expm1(b, b.fdiv(x, alpha))))


def log_of_normal(b, x):
    """log of finite x >= 2^-1022."""
    t, ints = x.type, vec(I64, x.type.count)
    bits = b.bitcast(x, ints)
    e = b.sub(b.ashr(bits, const(ints, 52)), const(ints, 1022))
    m = b.bitcast(b.or_(b.and_(bits, const(ints, FRACTION)), const(ints, 1022 << 52)), t)
    low = b.fcmp_ordered("<", m, const(t, SQRT_HALF))
    f = b.fsub(b.select(low, b.fadd(m, m), m), const(t, 1.0))
    n = b.sitofp(b.trunc(b.sub(e, b.zext(low, ints)), vec(I32, t.count)), t)
    s, half = b.fdiv(f, b.fadd(f, const(t, 2.0))), b.fmul(b.fmul(f, const(t, 0.5)), f)
    square = b.fmul(s, s)
    tail = b.fmul(s, b.fadd(half, b.fmul(square, polynomial(b, square, LOG_TERMS))))
    tail = b.fadd(tail, b.fmul(n, const(t, LN2_LOW)))
    return b.fsub(b.fmul(n, const(t, LN2_HIGH)), b.fsub(b.fsub(half, tail), f))


def log1p(b, x):
    """log(1 + x) for 0 <= x <= 1; what is not a number stays so."""
    t, one = x.type, const(x.type, 1.0)
    u = b.fadd(x, one)
    lost = b.select(b.fcmp_ordered("<", x, one), b.fsub(x, b.fsub(u, one)), b.fsub(one, b.fsub(u, x)))
    y = b.fadd(log_of_normal(b, b.select(is_number(b, u), u, one)), b.fdiv(lost, u))
    return b.select(b.fcmp_ordered("==", x, const(t, 0.0)), x, y)


def softplus(b, x):
    zero = const(x.type, 0.0)
    tail = log1p(b, exp(b, b.fneg(magnitude(b, x))))
    return b.fadd(b.select(b.fcmp_ordered(">", x, zero), x, zero), tail)


def mish(b, x):
    far = b.fcmp_ordered(">", x, const(x.type, 20.0))
    e = exp(b, b.select(far, const(x.type, 20.0), x))
    n = b.fmul(e, b.fadd(e, const(x.type, 2.0)))
    return b.select(far, x, b.fmul(x, b.fdiv(n, b.fadd(n, const(x.type, 2.0)))))


def far_turns(b, x):
    """`double_math.far_turns` of one number of float32, at least 2^25 in magnitude."""
    table = np.ascontiguousarray(turn_parts()[:FLOAT_ROWS])
    rows = cgutils.global_constant(
        b.module, "turn_parts", ir.Constant(ir.ArrayType(F64, table.size), [float(v) for v in table.reshape(-1)])
    )
    bits = b.bitcast(x, I64)
    e = b.sub(b.and_(b.ashr(bits, ir.Constant(I64, 52)), ir.Constant(I64, 2047)), ir.Constant(I64, 1023))
    m = b.or_(b.and_(bits, ir.Constant(I64, FRACTION)), ir.Constant(I64, 1 << 52))
    high = b.sitofp(b.ashr(m, ir.Constant(I64, 27)), F64)
    low = b.sitofp(b.and_(m, ir.Constant(I64, (1 << 27) - 1)), F64)

    def part(first, k):
        row = b.add(e, ir.Constant(I64, 27 - first))
        at = b.add(b.mul(row, ir.Constant(I64, PARTS)), ir.Constant(I64, k))
        return b.load(b.gep(rows, [ir.Constant(I64, 0), at]))

    def rounded(v):
        return call(b, "llvm.rint.f64", F64, v)

    count, t = ir.Constant(I64, 0), ir.Constant(F64, 0.0)
    for term in (
        b.fmul(high, part(25, 0)), b.fmul(low, part(52, 0)), b.fmul(high, part(25, 1)), b.fmul(low, part(52, 1)),
    ):  # fmt: skip
        near = rounded(term)
        t = b.fadd(t, b.fsub(term, near))
        left = rounded(t)
        t = b.fsub(t, left)
        count = b.add(b.add(count, b.fptosi(near, I64)), b.fptosi(left, I64))
    for k in range(2, PARTS):
        t = b.fadd(b.fadd(t, b.fmul(high, part(25, k))), b.fmul(low, part(52, k)))
    r = b.fmul(t, ir.Constant(F64, 1.5707963267948966))
    less = b.fcmp_ordered("<", x, ir.Constant(F64, 0.0))
    return b.select(less, b.neg(count), count), b.select(less, b.fneg(r), r)


def quarter_turns(b, x):
    """(n, r) of x = n pi / 2 + r, n to be taken modulo 4."""
    t, ints = x.type, vec(I64, x.type.count)
    finite = b.fcmp_ordered("<", magnitude(b, x), const(t, float("inf")))
    far = b.and_(finite, b.fcmp_ordered(">=", magnitude(b, x), const(t, HALF_PI_NEAR)))
    v = b.select(b.and_(finite, b.not_(far)), x, const(t, 0.0))
    n = rint(b, b.fmul(v, const(t, 2 / np.pi)))
    near = v
    for part in HALF_PI:
        near = b.fsub(near, b.fmul(n, const(t, part)))
    turns, rest = cgutils.alloca_once(b, ints), cgutils.alloca_once(b, t)
    b.store(to_i64(b, n), turns)
    b.store(near, rest)
    for k in range(t.count):
        at = ir.Constant(I32, k)
        with b.if_then(b.extract_element(far, at), likely=False):
            count, r = far_turns(b, b.extract_element(x, at))
            b.store(b.insert_element(b.load(turns), count, at), turns)
            b.store(b.insert_element(b.load(rest), r, at), rest)
    return b.load(turns), b.select(finite, b.load(rest), const(t, float("nan")))


def sine(b, r):
    square = b.fmul(r, r)
    return b.fadd(b.fmul(b.fmul(square, r), polynomial(b, square, SIN_TERMS)), r)


def cosine(b, r):
    square = b.fmul(r, r)
    p = b.fmul(b.fmul(square, square), polynomial(b, square, COS_TERMS))
    return b.fadd(b.fsub(p, b.fmul(const(r.type, 0.5), square)), const(r.type, 1.0))


def has_bit(b, n, bit):
    return b.icmp_signed("!=", b.and_(n, const(n.type, bit)), const(n.type, 0))


def sin(b, x):
    n, r = quarter_turns(b, x)
    y = b.select(has_bit(b, n, 1), cosine(b, r), sine(b, r))
    y = b.select(has_bit(b, n, 2), b.fneg(y), y)
    return b.select(b.fcmp_ordered("==", x, const(x.type, 0.0)), x, y)


def cos(b, x):
    n, r = quarter_turns(b, x)
    y = b.select(has_bit(b, n, 1), sine(b, r), cosine(b, r))
    return b.select(has_bit(b, b.add(n, const(n.type, 1)), 2), b.fneg(y), y)


def tan(b, x):
    n, r = quarter_turns(b, x)
    s, c = sine(b, r), cosine(b, r)
    y = b.select(has_bit(b, n, 1), b.fdiv(b.fneg(c), s), b.fdiv(s, c))
    return b.select(b.fcmp_ordered("==", x, const(x.type, 0.0)), x, y)
