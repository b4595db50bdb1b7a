"""The end of a product, in registers: scaled, and stored as float, as bytes, as bytes through a table, or met with a residual."""

from __future__ import annotations

from llvmlite import ir

from ..instructions.table import POST_ADD, POST_NONE, POST_TABLE
from .elementwise_u8 import find, table_of
from .epilogue_scratch import F_A, F_R, P_HIGH, P_LOW, P_ZERO, POST, R_ZERO, T_C, TABLE_AT
from .jit import njit
from .memory import load_i64, words
from .target import HARDWARE_TABLE, ISA
from .vector import F32, I32, I64, add_to, clamp, load_at, part, prefetch, requantize, rint, splat, store_at, vec, widened

LANES = ISA.lanes
SCALE, ZERO, LOW, HIGH, Y_F32 = words("conv2d", "scale zero low high y_f32")
BYTES, FLOATS, RESIDUAL, LOOKUP = 0, 1, 2, 3


@njit(nogil=True)
def size_of(i):
    """Bytes of an element that an instruction writes."""
    return 4 if load_i64(i + Y_F32) else 1


@njit(nogil=True)
def modes_of(i):
    """What the epilogue does in registers for an instruction, -1 where its `post` needs the bytes in memory; and what it does there."""
    post, f32 = load_i64(i + POST), load_i64(i + Y_F32)
    mode = -1
    if post == POST_NONE:
        mode = f32
    elif post == POST_ADD:
        mode = RESIDUAL
    elif HARDWARE_TABLE and post == POST_TABLE and load_i64(i + T_C) == 0:
        mode = LOOKUP
    return mode, f32


def floats_of(b, value, n):
    """An int64 scalar as a float vector."""
    return splat(b, b.sitofp(value, F32), n)


def word(b, a, offset):
    return load_at(b, add_to(b, a["i"], offset), I64)


def number(b, a, offset):
    return splat(b, load_at(b, add_to(b, a["i"], offset), F32), LANES)


def ask_for_targets(b, a, pixels, pixel_of):
    """Lines that the epilogue will write, and those of the residual, on their way while the sums are made."""
    for p in range(pixels):
        prefetch(b, pixel_of("y", p), 1, 3)
    with b.if_then(b.icmp_signed("==", a["mode"], ir.Constant(I64, RESIDUAL))):
        for p in range(pixels):
            prefetch(b, pixel_of("r", p), 0, 3)


def epilogue(b, a, sums, pixels, vectors, pixel_of):
    """sums: (pixel, vector, int32 vector) in order. a: operands by name. pixel_of: addresses of pixels of y and of r."""
    scale = b.add(word(b, a, SCALE), b.shl(a["first"], ir.Constant(I64, 2)))
    a = a | {"zero": word(b, a, ZERO), "low": word(b, a, LOW), "high": word(b, a, HIGH)}
    scales = [load_at(b, add_to(b, scale, 4 * LANES * v), vec(F32, LANES)) for v in range(vectors)]
    width = LANES * vectors

    def real(v, acc):
        return b.fmul(b.sitofp(acc, vec(F32, LANES)), scales[v])

    def is_mode(mode):
        return b.icmp_signed("==", a["mode"], ir.Constant(I64, mode))

    def fours():
        """Four vectors at a time: the pixels they belong to, and the vectors, repeated where there are fewer."""
        for k in range(0, len(sums), 4):
            four = sums[k : k + 4]
            yield list(dict.fromkeys(p for p, _, _ in four)), (four * 4)[:4]

    def store(packed, whose):
        for n, p in enumerate(whose):
            store_at(b, pixel_of("y", p), part(b, packed, n * width, width))

    with b.if_then(is_mode(FLOATS)):
        for p, v, acc in sums:
            store_at(b, add_to(b, pixel_of("y", p), 4 * LANES * v), real(v, acc))
    with b.if_then(is_mode(BYTES)):
        for whose, four in fours():
            store(requantize(b, [real(v, acc) for _, v, acc in four], a["zero"], a["low"], a["high"]), whose)
    with b.if_then(is_mode(RESIDUAL)):
        residual(b, a, fours, real, store, pixel_of)
    if HARDWARE_TABLE:
        with b.if_then(is_mode(LOOKUP)):
            table = table_of(b, word(b, a, TABLE_AT))
            for whose, four in fours():
                store(find(b, table, requantize(b, [real(v, acc) for _, v, acc in four], a["zero"], a["low"], a["high"])), whose)


def residual(b, a, fours, real, store, pixel_of):
    """C(rint(f32(q - z) f_a + f32(r - z_r) f_r) + z_p), where q - z = C(rint(real)) between low - z and high - z: q itself is never made."""
    low, high = (floats_of(b, b.sub(a[n], a["zero"]), LANES) for n in ("low", "high"))
    r_zero, f_a, f_r = splat(b, b.trunc(word(b, a, R_ZERO), I32), LANES), number(b, a, F_A), number(b, a, F_R)
    limits = [word(b, a, k) for k in (P_ZERO, P_LOW, P_HIGH)]
    for whose, four in fours():
        reals = []
        for p, v, acc in four:
            q = clamp(b, rint(b, real(v, acc)), low, high)
            r = b.sub(widened(b, add_to(b, pixel_of("r", p), v * LANES), LANES), r_zero)
            reals.append(b.fadd(b.fmul(q, f_a), b.fmul(b.sitofp(r, vec(F32, LANES)), f_r)))
        store(requantize(b, reals, *limits), whose)
