"""Convolutions and matrix products of int16 pixels and weights, two elements a step: equations (49) and (50) of
docs/quantization.md.

Their way is that of product.py. Sums are int32; where these could overflow, they are put by after every `span` steps as
high * 2^16 + low, two int32 numbers, and the sum of both is exact in float64.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from ..instructions.packing import FLOAT_VECTORS
from .dots import pair_dot
from .epilogue_scratch import copy_pixels
from .int16_vector import BYTE, FLOAT, SHORT, limits_of, stored
from .jit import njit
from .product import Kernels, begun, product
from .target import EMULATE, ISA
from .vector import F32, I16, I32, I64, add_to, const, load_at, splat, store_at, vec

LANES, VECTORS = ISA.lanes, FLOAT_VECTORS
MOST = 2 if EMULATE else min(14, ISA.pixels)
BURST = 4096  # bytes of the next weights that are asked for at once
INTS, FLOATS, DOUBLES = vec(I32, LANES), vec(F32, LANES), vec(ir.DoubleType(), LANES)


def micro(b, a, pixels, vectors, pixel_of):
    """Sums of two taps a step, then scaled and stored. Of the next weights a piece asks for no more than BURST
    bytes."""
    cells = [(p, v) for p in range(pixels) for v in range(vectors)]
    span = a["i"].span
    wide = b.icmp_signed("!=", span, ir.Constant(I64, 0))
    bias = [load_at(b, add_to(b, a["bias"], 4 * LANES * v), INTS) for v in range(vectors)]
    acc = {cell: cgutils.alloca_once(b, INTS) for cell in cells}
    high, low = (cgutils.alloca_once(b, INTS, size=len(cells)) for _ in range(2))
    for p, v in cells:
        b.store(b.select(wide, const(INTS, 0), bias[v]), acc[p, v])
    w = begun(b, a, pixels, pixel_of, BURST)
    with b.if_then(wide):
        for k, (_, v) in enumerate(cells):
            put_by(b, bias[v], high, low, k, fresh=True)
    share = b.select(wide, span, a["steps"])
    parts = b.sdiv(
        b.sub(b.add(a["steps"], share), ir.Constant(I64, 1)), b.select(wide, share, b.add(share, ir.Constant(I64, 1)))
    )
    parts = b.select(wide, parts, ir.Constant(I64, 1))
    with cgutils.for_range(b, a["KH"]) as kh, cgutils.for_range(b, a["runs"]) as r:
        base = b.add(a["x"], b.add(b.mul(kh.index, a["row"]), b.mul(r.index, a["tap"])))
        with cgutils.for_range(b, parts) as part:
            first = b.mul(part.index, share)
            left = b.sub(a["steps"], first)
            here = b.add(base, b.shl(first, ir.Constant(I64, 2)))
            with cgutils.for_range(b, b.select(b.icmp_signed("<", left, share), left, share)) as s:
                at = b.add(here, b.shl(s.index, ir.Constant(I64, 2)))
                ws = [load_at(b, add_to(b, b.load(w), 4 * LANES * v), vec(I16, 2 * LANES)) for v in range(vectors)]
                for p in range(pixels):
                    x = b.bitcast(splat(b, load_at(b, pixel_of("x", p, at), I32), LANES), vec(I16, 2 * LANES))
                    for v in range(vectors):
                        b.store(pair_dot(b, b.load(acc[p, v]), x, ws[v]), acc[p, v])
                b.store(add_to(b, b.load(w), 4 * LANES * vectors), w)
            with b.if_then(wide):
                for k, cell in enumerate(cells):
                    put_by(b, b.load(acc[cell]), high, low, k)
                    b.store(const(INTS, 0), acc[cell])
    with b.if_else(wide) as (doubles, ints):
        with doubles:
            for k, cell in enumerate(cells):
                b.store(b.bitcast(sum_of(b, high, low, k), INTS), acc[cell])
        with ints:
            for cell in cells:
                b.store(b.bitcast(b.sitofp(b.load(acc[cell]), FLOATS), INTS), acc[cell])
    finish_sums(b, a, {cell: b.bitcast(b.load(acc[cell]), FLOATS) for cell in cells}, vectors, pixel_of)


def put_by(b, value, high, low, k, fresh=False):
    """Add an int32 vector to element k of two arrays, of multiples of 2^16 and of what is left; fresh: they hold
    nothing yet."""
    for array, part in (
        (high, b.ashr(value, const(INTS, 16))),
        (low, b.and_(value, const(INTS, 0xFFFF))),
    ):
        at = b.gep(array, [ir.Constant(I32, k)])
        b.store(part if fresh else b.add(b.load(at), part), at)


def sum_of(b, high, low, k):
    """f32(high * 2^16 + low), rounded once."""
    upper, lower = (b.sitofp(b.load(b.gep(array, [ir.Constant(I32, k)])), DOUBLES) for array in (high, low))
    return b.fptrunc(b.fadd(b.fmul(upper, ir.Constant(DOUBLES, [65536.0] * LANES)), lower), FLOATS)


def finish_sums(b, a, sums, vectors, pixel_of):
    """sums: float vectors by pixel and vector, scaled and stored as the instruction's `y_item` says."""
    scale = b.add(a["i"].scale, b.shl(a["first"], ir.Constant(I64, 2)))
    scales = [load_at(b, add_to(b, scale, 4 * LANES * v), FLOATS) for v in range(vectors)]
    limits = limits_of(b, a["i"])
    for item in (SHORT, FLOAT, BYTE):
        with b.if_then(b.icmp_signed("==", a["mode"], ir.Constant(I64, item))):
            for (p, v), real in sums.items():
                store_at(
                    b, add_to(b, pixel_of("y", p), item * LANES * v), stored(b, b.fmul(real, scales[v]), limits, item)
                )


@njit(nogil=True)
def size_of(i):
    return i.y_item


@njit(nogil=True)
def modes_of(i):
    return i.y_item, i.y_item


@njit(nogil=True)
def epilogue(i, scratch, pitch, r, r_w, y, y_w, pixels, size, channel):
    copy_pixels(y, y_w, scratch, pitch, pixels, size)


int16_conv2d = product(Kernels(VECTORS, MOST, MOST, False, 2, BURST, 0, micro, size_of, modes_of, epilogue))
