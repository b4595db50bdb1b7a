"""Products of bytes, four to an int32 element: each target's instruction beside its executable meaning.

`dot(b, acc, u, s)` adds products of u8 and s8 bytes. Where the instruction takes signed bytes alone, products read
their pixels less `OFFSET` (see Target.offset): `less_offset(b, u)` makes these bytes, and `pixel_dot(b, acc, x, s)`
adds their products with s8 bytes.
"""

from __future__ import annotations

from llvmlite import ir

from .target import EMULATE, ISA, PRODUCT
from .vector import I16, I32, call, const, dot4, joined, mask, part, splat, vec, vpdpbusd

OFFSET = ISA.offset


def _neon(name):
    """A dot product of Arm on vectors of 128 bits, on vectors of any length."""

    def dot(b, acc, x, y):
        """acc, x, y: cut into vectors of 4 int32 elements, or 16 bytes."""
        parts = []
        for k in range(0, acc.type.count, 4):
            operands = part(b, acc, k, 4), part(b, x, 4 * k, 16), part(b, y, 4 * k, 16)
            parts.append(call(b, f"llvm.aarch64.neon.{name}.v4i32.v16i8", vec(I32, 4), *operands))
        return joined(b, parts)

    return dot


usdot = _neon("usdot")  # Arm, I8MM: acc[i] + sum of four products u8 * s8. Its meaning is `dot4`.
sdot = _neon("sdot")  # Arm, dot product: of s8 * s8. Its meaning is `signed_dot4`.
udot = _neon("udot")  # of u8 * u8


def signed_dot4(b, acc, x, s):
    """acc[i] + sum of four products s8 * s8."""
    return dot4(b, acc, x, s, signed=True)


def dot_by_udot(b, acc, u, s):
    """u s = u (s + 128) - 128 u, where there is no instruction for bytes of different signs."""
    raised = udot(b, acc, u, b.xor(s, const(s.type, 128)))
    sums = udot(b, const(acc.type, 0), u, const(u.type, 1))
    return b.sub(raised, b.shl(sums, const(acc.type, 7)))


def dot2(b, acc, x, w):
    """acc[i] + the sum of two products of int16, of elements 2 i and 2 i + 1; modulo 2^32."""
    n = acc.type.count
    product = b.mul(b.sext(x, vec(I32, 2 * n)), b.sext(w, vec(I32, 2 * n)))
    undefined = ir.Constant(product.type, ir.Undefined)
    even, odd = (b.shuffle_vector(product, undefined, mask(range(k, 2 * n, 2))) for k in (0, 1))
    return b.add(acc, b.add(even, odd))


def pmaddubsw(b, u, s):
    """x86: int16 sums of two neighbouring products u8 * s8, with saturation."""
    n = u.type.count // 2
    t = vec(I16, n)
    if not EMULATE:
        return call(b, "llvm.x86.avx2.pmadd.ub.sw", t, u, s)
    product = b.mul(b.zext(u, vec(I16, 2 * n)), b.sext(s, vec(I16, 2 * n)))
    undefined = ir.Constant(product.type, ir.Undefined)
    even, odd = (b.shuffle_vector(product, undefined, mask(range(k, 2 * n, 2))) for k in (0, 1))
    return call(b, f"llvm.sadd.sat.v{n}i16", t, even, odd)


def in_order(b, word, words, t):
    """A function that brings the four bytes of each int32 element into the order that the bytes of an i32 value say.
    words: the two that it can be; t: the type of the bytes."""
    if EMULATE:
        first = b.icmp_signed("==", word, ir.Constant(I32, words[0]))
        orders = [mask([k - k % 4 + w.to_bytes(4, "little")[k % 4] for k in range(t.count)]) for w in words]
        return lambda x: b.select(first, *(b.shuffle_vector(x, const(t, 0), order) for order in orders))
    indices = b.bitcast(splat(b, word, t.count // 4), t)
    indices = b.add(indices, ir.Constant(t, [k % 16 - k % 4 for k in range(t.count)]))
    return lambda x: call(b, "llvm.x86.avx2.pshuf.b", t, x, indices)


def dot_of_pairs(b, acc, u, s):
    """`dot4` of bytes no two neighbouring products of which have a sum beyond 16 bits."""
    pairs = pmaddubsw(b, u, s)
    one = const(pairs.type, 1)
    return dot2(b, acc, pairs, one) if EMULATE else b.add(acc, call(b, "llvm.x86.avx2.pmadd.wd", acc.type, pairs, one))


def vpdpwssd(b, acc, x, w):
    """x86, VNNI. Its meaning is `dot2`."""
    t = acc.type
    return call(b, f"llvm.x86.avx512.vpdpwssd.{32 * t.count}", t, acc, b.bitcast(x, t), b.bitcast(w, t))


PAIR_DOTS = {"vpdpbusd": vpdpwssd}
pair_dot = PAIR_DOTS.get(PRODUCT, dot2)
DOTS = {"vpdpbusd": vpdpbusd, "usdot": usdot, "sdot": dot_by_udot}
PIXEL_DOTS = {"sdot": sdot}
dot = DOTS.get(PRODUCT, dot4)
pixel_dot = PIXEL_DOTS.get(PRODUCT, signed_dot4) if OFFSET else dot
half_dot = PIXEL_DOTS.get(PRODUCT, dot)  # as `dot`, where the u8 bytes are below 128 and so of either sign
IS_INSTRUCTION = PRODUCT in DOTS  # whether `pixel_dot` is one instruction


def less_offset(b, u):
    """u8 bytes less OFFSET, as s8."""
    return b.xor(u, const(u.type, OFFSET)) if OFFSET else u


__all__ = [
    "IS_INSTRUCTION",
    "OFFSET",
    "less_offset",
    "dot",
    "dot_of_pairs",
    "half_dot",
    "in_order",
    "pair_dot",
    "pixel_dot",
]
