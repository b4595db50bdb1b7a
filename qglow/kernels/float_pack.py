"""Weights of a product of two float tensors: a matrix in the order of float_conv2d's packed weights, made anew in each
run."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .float_conv import LANES, VECTORS
from .jit import njit
from .memory import load_f32, store_f32
from .split import part_of
from .vector import F32, I64, joined, load_at, mask, store_at, vec

i64 = types.int64


@intrinsic
def copy_rows(context, x, x_k, k, y, y_k):
    """k vectors, x_k bytes apart, to places y_k bytes apart."""

    def generate(ctx, b, sig, args):
        x, x_k, k, y, y_k = args
        with cgutils.for_range(b, k) as loop:
            store_at(b, b.add(y, b.mul(loop.index, y_k)), load_at(b, b.add(x, b.mul(loop.index, x_k)), vec(F32, LANES)))
        return ctx.get_dummy_value()

    return types.void(*[i64] * 5), generate


@intrinsic
def turn_fours(context, x, x_c, fours, y, y_k):
    """LANES rows of 4 * fours adjacent floats, x_c bytes apart, turned."""

    def generate(ctx, b, sig, args):
        x, x_c, fours, y, y_k = args
        starts = [b.add(x, b.mul(x_c, ir.Constant(I64, n))) for n in range(LANES)]
        with cgutils.for_range(b, fours) as loop:
            at = b.shl(loop.index, ir.Constant(I64, 4))
            rows_joined = joined(b, [load_at(b, b.add(s, at), vec(F32, 4)) for s in starts])
            to = b.add(y, b.mul(loop.index, b.shl(y_k, ir.Constant(I64, 2))))
            for j in range(4):
                row = b.shuffle_vector(
                    rows_joined, ir.Constant(rows_joined.type, ir.Undefined), mask([4 * n + j for n in range(LANES)])
                )
                store_at(b, b.add(to, b.mul(y_k, ir.Constant(I64, j))), row)
        return ctx.get_dummy_value()

    return types.void(*[i64] * 5), generate


@njit(nogil=True)
def pack_any(x, x_k, x_c, first, k, channels, y, y_k):
    """Rows from `first` on, one number after the other; lanes beyond the channels are 0."""
    for row in range(first, k):
        for lane in range(LANES):
            store_f32(
                y + row * y_k + lane * 4,
                load_f32(x + row * x_k + lane * x_c) if lane < channels else types.float32(0.0),
            )


@njit(nogil=True)
def float_pack(i, share):
    """One vector of output channels after the other; a block's weights lie as [K, vectors, lanes]."""
    groups, k, c = i.G, i.K, i.C
    x_k, x_c = i.x_k, i.x_c
    every = (c + LANES - 1) // LANES
    first, end = part_of(share, groups * every)
    for job in range(first, end):
        g, v = job // every, job % every
        block, within = v // VECTORS, v % VECTORS
        y_k = min(VECTORS, every - block * VECTORS) * LANES * 4
        y = i.y + (g * every + block * VECTORS) * LANES * k * 4 + within * LANES * 4
        x, channels = i.x + g * i.x_g + v * LANES * x_c, min(LANES, c - v * LANES)
        if channels == LANES and x_c == 4:
            copy_rows(x, x_k, k, y, y_k)
        elif channels == LANES and x_k == 4:
            turn_fours(x, x_c, k // 4, y, y_k)
            pack_any(x, x_k, x_c, k // 4 * 4, k, channels, y, y_k)
        else:
            pack_any(x, x_k, x_c, 0, k, channels, y, y_k)
