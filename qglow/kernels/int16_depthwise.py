"""Depthwise convolution of int16: some pixels of a vector of channels in registers over all taps, one tap a step
(49)."""

from __future__ import annotations

from collections import namedtuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .dots import pair_dot
from .int16_vector import BYTE, FLOAT, LANES, SHORT, limits_of, shorts, stored
from .jit import njit
from .row import operands
from .split import part_of, row_at
from .vector import F32, I16, I32, I64, add_to, load_at, store_at, vec
from .vector_loops import store_some

Pixels = namedtuple("Pixels", "x w KH KW row tap pix bias scale y y_pix i count")
PIXELS = 8 if LANES == 16 else 4
INTS, FLOATS, PAIRS = vec(I32, LANES), vec(F32, LANES), vec(I16, 2 * LANES)


def micro_kernel(pixels, partial):
    """P pixels x LANES channels, of which `count` are stored where partial. NOTE: an int32 is two int16 to `pair_dot`,
    of which the upper one meets a weight of 0."""

    @intrinsic
    def run(context, pixels_of_block):
        def generate(ctx, b, sig, args):
            a = operands(b, sig, args)
            start = load_at(b, a["bias"], INTS)
            acc = [cgutils.alloca_once(b, INTS) for _ in range(pixels)]
            for x in acc:
                b.store(start, x)
            w = cgutils.alloca_once_value(b, a["w"])
            b.store(a["w"], w)
            with cgutils.for_range(b, a["KH"]) as kh, cgutils.for_range(b, a["KW"]) as kw:
                at = b.add(a["x"], b.add(b.mul(kh.index, a["row"]), b.mul(kw.index, a["tap"])))
                weights = b.bitcast(b.zext(load_at(b, b.load(w), vec(I16, LANES)), INTS), PAIRS)
                for p in range(pixels):
                    x = b.bitcast(shorts(b, b.add(at, b.mul(a["pix"], ir.Constant(I64, p)))), PAIRS)
                    b.store(pair_dot(b, b.load(acc[p]), x, weights), acc[p])
                b.store(add_to(b, b.load(w), 2 * LANES), w)
            item, limits = a["i"].y_item, limits_of(b, a["i"])
            scale = load_at(b, a["scale"], FLOATS)
            for size in (SHORT, FLOAT, BYTE):
                with b.if_then(b.icmp_signed("==", item, ir.Constant(I64, size))):
                    for p in range(pixels):
                        y = b.add(a["y"], b.mul(a["y_pix"], ir.Constant(I64, p)))
                        value = stored(b, b.fmul(b.sitofp(b.load(acc[p]), FLOATS), scale), limits, size)
                        if partial:
                            store_some(b, y, value, b.mul(a["count"], ir.Constant(I64, size)))
                        else:
                            store_at(b, y, value)
            return ctx.get_dummy_value()

        return types.void(pixels_of_block), generate

    return run


many, one, some = micro_kernel(PIXELS, False), micro_kernel(1, False), micro_kernel(1, True)


@njit(nogil=True)
def int16_depthwise2d(i, share):
    n, h, wd, c, item = i.N, i.H, i.W, i.C, i.y_item
    kh, kw = i.KH, i.KW
    pix, y_w = i.x_w * i.SW, i.y_w
    row, tap = i.x_h * i.DH, i.x_w * i.DW
    blocks, block_bytes = (c + LANES - 1) // LANES, kh * kw * LANES * 2
    first, end = part_of(share, n * h)
    for rr in range(first, end):
        x = row_at(i.x, i.x_n, i.SH * i.x_h, rr, h)
        y = row_at(i.y, i.y_n, i.y_h, rr, h)
        for block in range(blocks):
            k = block * LANES
            w, bias, scale = i.w + block * block_bytes, i.bias + k * 4, i.scale + k * 4
            o, count = 0, min(LANES, c - k)
            while o < wd:
                full = wd >= PIXELS and count == LANES
                if full and o + PIXELS > wd:
                    o = wd - PIXELS  # some pixels once more
                block_of = Pixels(
                    x + o * pix + k * 2, w, kh, kw, row, tap, pix, bias, scale, y + o * y_w + k * item, y_w, i, count
                )
                if count < LANES:
                    some(block_of)
                    o += 1
                elif full:
                    many(block_of)
                    o += PIXELS
                else:
                    one(block_of)
                    o += 1
