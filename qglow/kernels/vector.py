"""Vectors in LLVM IR: one source that LLVM turns into the instructions of whatever set it compiles for."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from .memory import F32, I8, I16, I32, I64, load_at, store_at
from .target import HARDWARE_PACK


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
    return b.call(
        cgutils.get_or_insert_function(b.module, ir.FunctionType(t, [a.type for a in args]), name), list(args)
    )


def rint(b, x):
    return call(b, f"llvm.rint.v{x.type.count}f32", x.type, x)


def clamp(b, x, low, high):
    """Between two vectors; NaN becomes the lower one."""
    x = b.select(b.fcmp_ordered(">", x, low), x, low)
    return b.select(b.fcmp_ordered("<", x, high), x, high)


def to_int(b, x):
    """rint of a float vector as int32; its magnitude must be below 2^31."""
    n = x.type.count
    return call(b, f"llvm.lrint.v{n}i32.v{n}f32", vec(I32, n), x)


def joined(b, parts):
    """Vectors of one type, one after the other in one vector. Their number is a power of two."""
    while len(parts) > 1:
        n = 2 * parts[0].type.count
        parts = [b.shuffle_vector(x, y, mask(range(n))) for x, y in zip(parts[::2], parts[1::2])]
    return parts[0]


def part(b, x, start, count):
    return b.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), mask(range(start, start + count)))


def pack_bytes(b, ints, zero, low, high):
    """The law's last step on four int32 vectors: add the zero point, clamp to [low, high] within u8. zero, low, high:
    int64 scalars.

    The hardware narrows with saturation to int16, adds with saturation, and narrows with saturation to u8, which is the
    same.
    """
    n = ints[0].type.count
    if HARDWARE_PACK:
        half, size = f"llvm.x86.{HARDWARE_PACK}.packssdw", ".512" if n == 16 else ""
        z = splat(b, b.trunc(zero, I16), 2 * n)
        pairs = [call(b, half + size, vec(I16, 2 * n), x, y) for x, y in (ints[:2], ints[2:])]
        pairs = [call(b, f"llvm.sadd.sat.v{2 * n}i16", z.type, x, z) for x in pairs]
        packed = call(b, f"llvm.x86.{HARDWARE_PACK}.packuswb{size}", vec(I8, 4 * n), *pairs)
        lanes = n // 4
        words = b.bitcast(packed, vec(I32, n))
        # undo the order that packing within 128-bit lanes leaves
        order = mask([4 * (i % lanes) + i // lanes for i in range(n)])
        y = b.bitcast(b.shuffle_vector(words, ir.Constant(words.type, ir.Undefined), order), vec(I8, 4 * n))
    else:
        t = vec(I32, 4 * n)
        x = b.add(joined(b, ints), splat(b, b.trunc(zero, I32), 4 * n))
        x = b.select(b.icmp_signed(">", x, const(t, 0)), x, const(t, 0))
        y = b.trunc(b.select(b.icmp_signed("<", x, const(t, 255)), x, const(t, 255)), vec(I8, 4 * n))
    lo, hi = (splat(b, b.trunc(v, I8), 4 * n) for v in (low, high))
    y = b.select(b.icmp_unsigned(">", y, lo), y, lo)
    return b.select(b.icmp_unsigned("<", y, hi), y, hi)


def requantize(b, reals, zero, low, high):
    """C(rint(real) + zero) of four float vectors, as bytes."""
    return pack_bytes(b, [to_int(b, r) for r in reals], zero, low, high)


def within(b, x, limit=1e6):
    """Keep a float vector where `to_int` is defined; what lies beyond is far beyond every integer type of 16 bits."""
    return clamp(b, x, const(x.type, -limit), const(x.type, limit))


def widened(b, address, n):
    """n bytes at an address as int32."""
    return b.zext(load_at(b, address, vec(I8, n)), vec(I32, n))


def minus_zero_point(b, address, zero, n):
    """f32(q - z) of n bytes at an address; zero: int32 vector."""
    return b.sitofp(b.sub(widened(b, address, n), zero), vec(F32, n))


def add_to(b, address, offset):
    return b.add(address, ir.Constant(I64, offset))


def prefetch(b, address, write, locality):
    """Ask for a cache line. write: 1 if it will be written. locality: 3 the nearest cache, 2 the next."""
    pointer = b.inttoptr(address, I8.as_pointer())
    t = ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32])
    b.call(
        cgutils.get_or_insert_function(b.module, t, "llvm.prefetch.p0"),
        [pointer, *(ir.Constant(I32, k) for k in (write, locality, 1))],
    )


def prefetch_range(b, address, size):
    """Ask for bytes, a multiple of 64 of them, to come into the second cache."""
    with cgutils.for_range(b, b.lshr(size, ir.Constant(I64, 6))) as line:
        prefetch(b, b.add(address, b.shl(line.index, ir.Constant(I64, 6))), 0, 2)


def pixel(b, at, step, p, second=None, count=0):
    """The address of pixel p of a block; of one whose pixels from `count` on are those of a second row, that many bytes
    further."""
    if second is None or p < count:
        return b.add(at, b.mul(step, ir.Constant(I64, p)))
    return b.add(b.add(at, second), b.mul(step, ir.Constant(I64, p - count)))


def dot4(b, acc, u, s, signed=False):
    """acc[i] + sum of four products u8 * s8 of the bytes of element i, exact in any order; signed: u holds s8 bytes
    too.

    The products of even and of odd bytes are summed in pairs, a form that LLVM turns into the pair-multiply of SSE2 and
    AVX2.
    """
    n = acc.type.count
    wide = vec(I16, 2 * n)
    u16, s16 = b.bitcast(u, wide), b.bitcast(s, wide)
    eight = const(wide, 8)
    low = b.ashr(b.shl(u16, eight), eight) if signed else b.and_(u16, const(wide, 255))
    parts = (
        (low, b.ashr(b.shl(s16, eight), eight)),
        (b.ashr(u16, eight) if signed else b.lshr(u16, eight), b.ashr(s16, eight)),
    )
    for x, y in parts:
        product = b.mul(b.sext(x, vec(I32, 2 * n)), b.sext(y, vec(I32, 2 * n)))
        undefined = ir.Constant(product.type, ir.Undefined)
        even = b.shuffle_vector(product, undefined, mask(range(0, 2 * n, 2)))
        odd = b.shuffle_vector(product, undefined, mask(range(1, 2 * n, 2)))
        acc = b.add(acc, b.add(even, odd))
    return acc


def vpdpbusd(b, acc, u, s):
    """x86, VNNI: acc[i] + sum of four products u8 * s8. Its meaning is `dot4`."""
    return call(b, f"llvm.x86.avx512.vpdpbusd.{32 * acc.type.count}", acc.type, acc, u, s)


__all__ = ["F32", "I8", "I16", "I32", "I64", "add_to", "prefetch_range", "call", "minus_zero_point", "clamp", "const",
    "dot4", "joined", "load_at", "mask", "pack_bytes",
           "part", "pixel", "prefetch", "requantize", "rint", "splat", "store_at", "to_int", "vec", "vpdpbusd",
           "widened", "within"]  # fmt: skip
