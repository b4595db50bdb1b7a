"""x y + z rounded once, on float vectors: the CPU's instruction, or beside it its meaning in float64
(reference/fused.py)."""

from __future__ import annotations

from llvmlite import ir

from .target import EMULATE, ISA
from .vector import F32, I64, call, const, vec

F64 = ir.DoubleType()
HARDWARE_FMA = ISA.fma and not EMULATE


def fma(b, x, y, z):
    """NOTE: where the instruction is missing LLVM would call the C library for each element."""
    if HARDWARE_FMA:
        return call(b, f"llvm.fma.v{x.type.count}f32", x.type, x, y, z)
    n = x.type.count
    t, integers = vec(F64, n), vec(I64, n)
    a = b.fpext(z, t)
    p = b.fmul(b.fpext(x, t), b.fpext(y, t))
    s = b.fadd(p, a)
    r = b.fsub(s, p)
    error = b.fadd(b.fsub(p, b.fsub(s, r)), b.fsub(a, r))
    bits, zero = b.bitcast(s, integers), const(t, 0.0)
    even = b.icmp_unsigned("==", b.and_(bits, const(integers, 1)), const(integers, 0))
    same = b.icmp_unsigned("==", b.fcmp_ordered(">", error, zero), b.fcmp_ordered(">", s, zero))
    moved = b.add(bits, b.select(same, const(integers, 1), const(integers, -1)))
    odd = b.select(b.and_(even, b.fcmp_ordered("!=", error, zero)), moved, bits)
    return b.fptrunc(b.bitcast(odd, t), vec(F32, n))
