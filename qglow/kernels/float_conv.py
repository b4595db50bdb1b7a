"""Float convolutions and matrix products: each output is one chain of fused multiply-adds from its bias, in the law's
order.

Their way is that of product.py. The chains of a block are independent of each other, so that blocks of any size give
the same bits.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from ..instructions.packing import FLOAT_VECTORS
from ..instructions.table import POST_ADD
from .epilogue_scratch import copy_pixels
from .fused import HARDWARE_FMA, fma
from .jit import njit
from .product import Kernels, begun, product
from .target import ISA
from .vector import F32, I64, add_to, load_at, splat, store_at, vec

LANES, VECTORS = ISA.lanes, FLOAT_VECTORS
MOST, NARROW_MOST = ISA.float_pixels if HARDWARE_FMA else (2, 2)
BURST = 4096  # bytes of the next weights that are asked for at once


def limits_of(b, i):
    """The bounds of an instruction as vectors: not a number where there is none, so that no comparison with it
    holds."""
    kind, none = i.act, ir.Constant(F32, float("nan"))
    bounds = [
        b.select(b.icmp_signed(">=", kind, ir.Constant(I64, least)), f, none)
        for least, f in ((1, i.f_low), (2, i.f_high))
    ]
    return [splat(b, bound, LANES) for bound in bounds]


def limited(b, v, low, high):
    """v, or the bound that it is beyond."""
    v = b.select(b.fcmp_ordered(">", low, v), low, v)
    return b.select(b.fcmp_ordered("<", high, v), high, v)


def micro(b, a, pixels, vectors, pixel_of):
    """One fused multiply-add a tap, each output's in one chain; then what follows the product. Of the next weights a
    piece asks for no more than BURST bytes."""
    size = 4 * LANES * vectors  # bytes of weights that one step reads
    t = vec(F32, LANES)
    start = [load_at(b, add_to(b, a["bias"], 4 * LANES * v), t) for v in range(vectors)]
    acc = [[cgutils.alloca_once_value(b, start[v]) for v in range(vectors)] for _ in range(pixels)]
    for p in range(pixels):
        for v in range(vectors):
            b.store(start[v], acc[p][v])
    # NOTE: one pixel reads its weights once, in order, which the hardware sees coming
    w = begun(b, a, pixels, pixel_of, BURST if pixels > 1 else 0)
    with cgutils.for_range(b, a["KH"]) as kh, cgutils.for_range(b, a["runs"]) as r:
        base = b.add(a["x"], b.add(b.mul(kh.index, a["row"]), b.mul(r.index, a["tap"])))
        with cgutils.for_range(b, a["steps"]) as s:
            at = b.add(base, b.shl(s.index, ir.Constant(I64, 2)))
            ws = [load_at(b, add_to(b, b.load(w), 4 * LANES * v), t) for v in range(vectors)]
            for p in range(pixels):
                x = splat(b, load_at(b, pixel_of("x", p, at), F32), LANES)
                for v in range(vectors):
                    b.store(fma(b, x, ws[v], b.load(acc[p][v])), acc[p][v])
            b.store(add_to(b, b.load(w), size), w)
    store_sums(b, a, acc, pixels, vectors, pixel_of)


def store_sums(b, a, acc, pixels, vectors, pixel_of):
    """Plus the residual where there is one, within the bounds, stored."""
    low, high = limits_of(b, a["i"])

    def store(residual):
        for p in range(pixels):
            y = pixel_of("y", p)
            r = pixel_of("r", p) if residual else None
            for v in range(vectors):
                value = b.load(acc[p][v])
                if residual:
                    value = b.fadd(value, load_at(b, add_to(b, r, 4 * LANES * v), vec(F32, LANES)))
                store_at(b, add_to(b, y, 4 * LANES * v), limited(b, value, low, high))

    with b.if_else(b.icmp_signed("==", a["mode"], ir.Constant(I64, POST_ADD))) as (added, plain):
        with added:
            store(True)
        with plain:
            store(False)


@njit(nogil=True)
def size_of(i):
    return 4


@njit(nogil=True)
def modes_of(i):
    post = i.post
    return post, post


@njit(nogil=True)
def epilogue(i, scratch, pitch, r, r_w, y, y_w, pixels, size, channel):
    copy_pixels(y, y_w, scratch, pitch, pixels, size)


float_conv2d = product(Kernels(VECTORS, MOST, NARROW_MOST, False, 1, BURST, 4, micro, size_of, modes_of, epilogue))
