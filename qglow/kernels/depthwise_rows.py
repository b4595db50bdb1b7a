"""The way of float and int16 depthwise convolutions: blocks of some pixels of a vector of channels."""

from __future__ import annotations

from collections import namedtuple

from numba import types
from numba.extending import intrinsic

from .jit import njit
from .row import operands
from .split import part_of, row_at
from .target import ISA
from .vector import store_at
from .vector_loops import store_some

LANES = ISA.lanes
Pixels = namedtuple("Pixels", "x w KH KW row tap pix block y y_pix i count")


def block_of(compute, pixels, partial):
    """An intrinsic of Pixels. compute(b, operands by name, pixels, store) ends with store(address, vector, bytes of an
    element) of each; of a partial block `count` channels are stored. `block`: the channels' first number."""

    @intrinsic
    def run(context, pixels_of_block):
        def generate(ctx, b, sig, args):
            a = operands(b, sig, args)

            def store(address, value, item):
                if partial:
                    store_some(b, address, value, b.mul(a["count"], a["count"].type(item)))
                else:
                    store_at(b, address, value)

            compute(b, a, pixels, store)
            return ctx.get_dummy_value()

        return types.void(pixels_of_block), generate

    return run


def depthwise(compute, pixels, item, y_item):
    """The kernel of compute(b, operands, pixels, store), as `block_of` says. item: bytes of an element of x and of a
    weight; y_item(i): of y."""
    many, one, some = block_of(compute, pixels, False), block_of(compute, 1, False), block_of(compute, 1, True)

    @njit(nogil=True)
    def kernel(i, share):
        n, h, wd, c, kh, kw, size = i.N, i.H, i.W, i.C, i.KH, i.KW, y_item(i)
        pix, y_w = i.x_w * i.SW, i.y_w
        row, tap = i.x_h * i.DH, i.x_w * i.DW
        first, end = part_of(share, n * h)
        for rr in range(first, end):
            x = row_at(i.x, i.x_n, i.SH * i.x_h, rr, h)
            y = row_at(i.y, i.y_n, i.y_h, rr, h)
            for k in range(0, c, LANES):
                w = i.w + k * kh * kw * item
                o, count = 0, min(LANES, c - k)
                while o < wd:
                    full = wd >= pixels and count == LANES
                    if full and o + pixels > wd:
                        o = wd - pixels  # some pixels once more
                    block = Pixels(
                        x + o * pix + k * item, w, kh, kw, row, tap, pix, k, y + o * y_w + k * size, y_w, i, count
                    )
                    if count < LANES:
                        some(block)
                        o += 1
                    elif not full:
                        one(block)
                        o += 1
                    else:
                        many(block)
                        o += pixels

    return kernel
