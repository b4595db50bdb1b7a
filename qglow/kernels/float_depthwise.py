"""Float depthwise convolution: some pixels of a vector of channels in registers over all taps, in the law's order."""

from __future__ import annotations

from collections import namedtuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .float_conv import limited, limits_of
from .fused import HARDWARE_FMA, fma
from .jit import njit
from .row import operands
from .split import part_of, row_at
from .target import ISA
from .vector import F32, I64, add_to, load_at, store_at, vec
from .vector_loops import store_some

LANES = ISA.lanes
Pixels = namedtuple("Pixels", "x w KH KW row tap pix bias y y_pix i count")


def micro_kernel(pixels, partial, unrolled=0):
    """P pixels x LANES channels, of which `count` are stored where partial. unrolled: columns of a kernel row, known,
    or 0."""

    @intrinsic
    def run(context, pixels_of_block):
        def generate(ctx, b, sig, args):
            a = operands(b, sig, args)
            t = vec(F32, LANES)
            start = load_at(b, a["bias"], t)
            acc = [cgutils.alloca_once_value(b, start) for _ in range(pixels)]
            for x in acc:
                b.store(start, x)
            w = cgutils.alloca_once_value(b, a["w"])
            b.store(a["w"], w)

            def step(at, k):
                weights = load_at(b, add_to(b, b.load(w), 4 * LANES * k), t)
                for p in range(pixels):
                    x = load_at(b, b.add(at, b.mul(a["pix"], ir.Constant(I64, p))), t)
                    b.store(fma(b, x, weights, b.load(acc[p])), acc[p])

            with cgutils.for_range(b, a["KH"]) as kh:
                line = b.add(a["x"], b.mul(kh.index, a["row"]))
                if unrolled:
                    for k in range(unrolled):
                        step(b.add(line, b.mul(a["tap"], ir.Constant(I64, k))), k)
                    b.store(add_to(b, b.load(w), 4 * LANES * unrolled), w)
                else:
                    with cgutils.for_range(b, a["KW"]) as k:
                        step(b.add(line, b.mul(k.index, a["tap"])), 0)
                        b.store(add_to(b, b.load(w), 4 * LANES), w)
            low, high = limits_of(b, a["i"])
            for p in range(pixels):
                y, value = b.add(a["y"], b.mul(a["y_pix"], ir.Constant(I64, p))), limited(b, b.load(acc[p]), low, high)
                if partial:
                    store_some(b, y, value, b.shl(a["count"], ir.Constant(I64, 2)))
                else:
                    store_at(b, y, value)
            return ctx.get_dummy_value()

        return types.void(pixels_of_block), generate

    return run


PIXELS = 8 if HARDWARE_FMA else 2
one, some = micro_kernel(1, False), micro_kernel(1, True)


def depthwise(unrolled):
    """The kernel for so many columns of a kernel row, or any number, 0."""
    many = micro_kernel(PIXELS, False, unrolled)

    @njit(nogil=True)
    def kernel(i, share):
        n, h, wd, c = i.N, i.H, i.W, i.C
        kh, kw = i.KH, i.KW
        pix, y_w = i.x_w * i.SW, i.y_w
        row, tap = i.x_h * i.DH, i.x_w * i.DW
        blocks = (c + LANES - 1) // LANES
        block_bytes = kh * kw * LANES * 4
        first, end = part_of(share, n * h)
        for rr in range(first, end):
            x = row_at(i.x, i.x_n, i.SH * i.x_h, rr, h)
            y = row_at(i.y, i.y_n, i.y_h, rr, h)
            for block in range(blocks):
                k = block * LANES
                w, bias = i.w + block * block_bytes, i.bias + k * 4
                o, count = 0, min(LANES, c - k)
                while o < wd:
                    full = wd >= PIXELS and count == LANES
                    if full and o + PIXELS > wd:
                        o = wd - PIXELS  # some pixels once more
                    operands = Pixels(
                        x + o * pix + k * 4, w, kh, kw, row, tap, pix, bias, y + o * y_w + k * 4, y_w, i, count
                    )
                    if count < LANES:
                        some(operands)
                        o += 1
                    elif not full:
                        one(operands)
                        o += 1
                    else:
                        many(operands)
                        o += PIXELS

    return kernel


of_3_columns, of_any_columns = depthwise(3), depthwise(0)
