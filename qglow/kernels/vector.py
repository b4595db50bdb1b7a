"""Vectors in LLVM IR: one source that LLVM turns into the instructions of whatever set it compiles for."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from .memory import F32, I8, I16, I32, I64, load_at, store_at


def vec(t, n):
    return ir.VectorType(t, n)


def mask(indices):
    return ir.Constant(vec(I32, len(indices)), list(indices))


def splat(b, value, n):
    t = vec(value.type, n)
    v = b.insert_element(ir.Constant(t, ir.Undefined), value, ir.Constant(I32, 0))
    return b.shuffle_vector(v, ir.Constant(t, ir.Undefined), mask([0] * n))


def const(t, value):
    return ir.Constant(t, [value] * t.count)


def call(b, name, t, *args):
    return b.call(cgutils.get_or_insert_function(b.module, ir.FunctionType(t, [a.type for a in args]), name), list(args))


def rint(b, x):
    return call(b, f"llvm.rint.v{x.type.count}f32", x.type, x)


def clamp(b, x, low, high):
    """Between two vectors; no NaN comes here."""
    x = b.select(b.fcmp_ordered(">", x, low), x, low)
    return b.select(b.fcmp_ordered("<", x, high), x, high)


def to_bytes(b, real, zero, low, high):
    """The law's last step on a float vector: rint, add the zero point, clamp, as bytes."""
    y = clamp(b, b.fadd(rint(b, real), zero), low, high)
    return b.trunc(b.fptosi(y, vec(I32, y.type.count)), vec(I8, y.type.count))


def centred(b, address, zero, n):
    """f32(q - z) of n bytes at an address; zero: int32 vector."""
    q = b.zext(load_at(b, address, vec(I8, n)), vec(I32, n))
    return b.sitofp(b.sub(q, zero), vec(F32, n))


def add_to(b, address, offset):
    return b.add(address, ir.Constant(I64, offset))


def dot4(b, acc, u, s):
    """acc[i] + sum of four products u8 * s8 of the bytes of element i: the executable meaning of vpdpbusd, exact in any order.

    The products of even and of odd bytes are summed in pairs, a form that LLVM turns into the pair-multiply of SSE2 and AVX2.
    """
    n = acc.type.count
    wide = vec(I16, 2 * n)
    u16, s16 = b.bitcast(u, wide), b.bitcast(s, wide)
    eight = const(wide, 8)
    parts = (
        (b.and_(u16, const(wide, 255)), b.ashr(b.shl(s16, eight), eight)),
        (b.lshr(u16, eight), b.ashr(s16, eight)),
    )
    for x, y in parts:
        product = b.mul(b.sext(x, vec(I32, 2 * n)), b.sext(y, vec(I32, 2 * n)))
        undefined = ir.Constant(product.type, ir.Undefined)
        even = b.shuffle_vector(product, undefined, mask(range(0, 2 * n, 2)))
        odd = b.shuffle_vector(product, undefined, mask(range(1, 2 * n, 2)))
        acc = b.add(acc, b.add(even, odd))
    return acc


def vpdpbusd(b, acc, u, s):
    """The hardware instruction; its meaning is `dot4`."""
    return call(b, "llvm.x86.avx512.vpdpbusd.512", acc.type, acc, u, s)


__all__ = ["F32", "I8", "I16", "I32", "I64", "add_to", "call", "centred", "clamp", "const", "dot4", "load_at", "mask", "rint", "splat",
           "store_at", "to_bytes", "vec", "vpdpbusd"]  # fmt: skip
