"""The end of a product, in registers: scaled, and stored as float, as bytes, as bytes through a table, or met with a
residual."""

from __future__ import annotations

from llvmlite import ir

from ..instructions.table import POST_ADD, POST_NONE, POST_TABLE
from .elementwise_u8 import find, table_of
from .jit import njit
from .target import HARDWARE_TABLE, ISA
from .vector import (
    F32,
    I32,
    I64,
    add_to,
    clamp,
    load_at,
    part,
    prefetch,
    requantize,
    rint,
    splat,
    store_at,
    vec,
    widened,
)

LANES = ISA.lanes
BYTES, FLOATS, RESIDUAL, LOOKUP = 0, 1, 2, 3


@njit(nogil=True)
def size_of(i):
    """Bytes of an element that an instruction writes."""
    return 4 if i.y_f32 else 1


@njit(nogil=True)
def modes_of(i):
    """What the epilogue does in registers for an instruction, -1 where its `post` needs the bytes in memory; and what
    it does there."""
    post, f32 = i.post, i.y_f32
    mode = -1
    if post == POST_NONE:
        mode = f32
    elif post == POST_ADD:
        mode = RESIDUAL
    elif HARDWARE_TABLE and post == POST_TABLE and i.t_c == 0:
        mode = LOOKUP
    return mode, f32


def floats_of(b, value, n):
    """An int64 scalar as a float vector."""
    return splat(b, b.sitofp(value, F32), n)


def ask_for_targets(b, a, pixels, pixel_of):
    """Lines that the epilogue will write, and those of the residual, on their way while the sums are made."""
    for p in range(pixels):
        prefetch(b, pixel_of("y", p), 1, 3)
    with b.if_then(b.icmp_signed("==", a["mode"], ir.Constant(I64, RESIDUAL))):
        for p in range(pixels):
            prefetch(b, pixel_of("r", p), 0, 3)


def epilogue(b, a, sums, pixels, vectors, pixel_of):
    """sums: (pixel, vector, int32 vector) in order. a: operands by name. pixel_of: addresses of pixels of y and of
    r."""
    i = a["i"]
    scale = b.add(i.scale, b.shl(a["first"], ir.Constant(I64, 2)))
    limits = i.zero, i.low, i.high
    scales = [load_at(b, add_to(b, scale, 4 * LANES * v), vec(F32, LANES)) for v in range(vectors)]
    width = LANES * vectors

    def real(v, acc):
        return b.fmul(b.sitofp(acc, vec(F32, LANES)), scales[v])

    def is_mode(mode):
        return b.icmp_signed("==", a["mode"], ir.Constant(I64, mode))

    def fours():
        """Four vectors at a time: the pixels they belong to, and the vectors, repeated where there are fewer."""
        for k in range(0, len(sums), 4):
            group = sums[k : k + 4]
            yield list(dict.fromkeys(p for p, _, _ in group)), (group * 4)[:4]

    def store(packed, whose):
        for n, p in enumerate(whose):
            store_at(b, pixel_of("y", p), part(b, packed, n * width, width))

    with b.if_then(is_mode(FLOATS)):
        for p, v, acc in sums:
            store_at(b, add_to(b, pixel_of("y", p), 4 * LANES * v), real(v, acc))
    with b.if_then(is_mode(BYTES)):
        for whose, group in fours():
            store(requantize(b, [real(v, acc) for _, v, acc in group], *limits), whose)
    with b.if_then(is_mode(RESIDUAL)):
        residual(b, i, limits, fours, real, store, pixel_of)
    if HARDWARE_TABLE:
        with b.if_then(is_mode(LOOKUP)):
            table = table_of(b, i.table)
            for whose, group in fours():
                store(find(b, table, requantize(b, [real(v, acc) for _, v, acc in group], *limits)), whose)


def residual(b, i, limits, fours, real, store, pixel_of):
    """C(rint(f32(q - z) f_a + f32(r - z_r) f_r) + z_p), where q - z = C(rint(real)) between low - z and high - z: q
    itself is never made."""
    zero, *bounds = limits
    low, high = (floats_of(b, b.sub(bound, zero), LANES) for bound in bounds)
    r_zero, f_a, f_r = (splat(b, v, LANES) for v in (b.trunc(i.r_zero, I32), i.f_a, i.f_r))
    p_limits = i.p_zero, i.p_low, i.p_high
    for whose, group in fours():
        reals = []
        for p, v, acc in group:
            q = clamp(b, rint(b, real(v, acc)), low, high)
            r = b.sub(widened(b, add_to(b, pixel_of("r", p), v * LANES), LANES), r_zero)
            reals.append(b.fadd(b.fmul(q, f_a), b.fmul(b.sitofp(r, vec(F32, LANES)), f_r)))
        store(requantize(b, reals, *p_limits), whose)
