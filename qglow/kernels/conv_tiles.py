"""Convolutions and matrix products on AMX tiles: the rows of a tile are pixels of one image row, so that nothing is
gathered first.

Tiles have as many rows as the image row has pixels, at most 16; the last tile of a row is moved back to end where the
row ends, and computes some pixels twice. Two tiles of pixels meet two tiles of 16 output channels.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..instructions.table import BY_BLOCKS
from . import tiles
from .epilogue_scratch import finish_pixels
from .jit import njit
from .memory import store_i64, store_u8
from .split import part_of_either, row_at, scratch_of
from .tiles import configure, release
from .vector import F32, I32, I64, add_to, load_at, part, requantize, store_at, vec

BLOCK = 32
SUMS, FILE, CONFIGURATION, PIXEL = 0, 4096, 12288, 12416
i64 = types.int64
zero0, zero1, zero2, zero3 = (tiles.zero(n) for n in range(4))
load4, load5, load6, load7 = (tiles.move(n, False) for n in range(4, 8))
store0, store1, store2, store3 = (tiles.move(n, True) for n in range(4))
dot046, dot147, dot256, dot357 = (tiles.dot(d, a, w) for d, a, w in ((0, 4, 6), (1, 4, 7), (2, 5, 6), (3, 5, 7)))


@intrinsic
def requantize_tile(context, sums, bias, scale, zero, low, high, y, y_f32):
    """Requantize the 32 sums of one pixel and store them."""

    def generate(ctx, b, sig, args):
        sums, bias, scale, zero, low, high, y, y_f32 = args
        reals = []
        for v in range(2):
            acc = b.add(
                load_at(b, add_to(b, sums, 64 * v), vec(I32, 16)), load_at(b, add_to(b, bias, 64 * v), vec(I32, 16))
            )
            reals.append(b.fmul(b.sitofp(acc, vec(F32, 16)), load_at(b, add_to(b, scale, 64 * v), vec(F32, 16))))
        with b.if_else(b.icmp_signed("==", y_f32, ir.Constant(I64, 1))) as (as_float, as_bytes):
            with as_float:
                for v in range(2):
                    store_at(b, add_to(b, y, 64 * v), reals[v])
            with as_bytes:
                store_at(b, y, part(b, requantize(b, reals * 2, zero, low, high), 0, 32))
        return ctx.get_dummy_value()

    return types.void(*[i64] * 8), generate


@njit(nogil=True)
def write_configuration(at, rows):
    """Palette 1; tiles of 64 bytes a row, `rows` rows for sums and pixels, 16 for weights."""
    for k in range(8):
        store_i64(at + 8 * k, 0)
    store_u8(at, 1)
    for t in range(8):
        store_u8(at + 16 + 2 * t, 64)
        store_u8(at + 48 + t, rows if t < 6 else 16)


@njit(nogil=True)
def sums_of(x, second, w, kh, runs, steps, row, tap, pix, rows, scratch, two):
    """Sums of one or two tiles of pixels (at x and `second`) by 32 channels, stored as [32, 32] int32 at the scratch's
    start."""
    file = scratch + FILE
    zero0(rows, file)
    zero1(rows, file)
    zero2(rows, file)
    zero3(rows, file)
    for a in range(kh):
        for r in range(runs):
            at = a * row + r * tap
            for _ in range(steps):
                load4(x + at, pix, rows, file)
                load6(w, 64, 16, file)
                dot046(rows, file)
                load7(w + 1024, 64, 16, file)
                dot147(rows, file)
                if two:
                    load5(second + at, pix, rows, file)
                    dot256(rows, file)
                    dot357(rows, file)
                w += 2048
                at += 64
    store0(scratch, 128, rows, file)
    store1(scratch + 64, 128, rows, file)
    if two:
        store2(scratch + 2048, 128, rows, file)
        store3(scratch + 2112, 128, rows, file)


@njit(nogil=True)
def store_pixels(i, scratch, sums, y, y_w, r, rows, bias, scale, valid, f32_out, channel):
    """Requantize the rows of one tile of pixels into the output. valid: output channels of this block."""
    size, r_w = 4 if f32_out else 1, i.r_w
    zero, low, high = i.zero, i.low, i.high
    direct = valid == BLOCK and i.post == 0
    for p in range(rows):
        if direct:
            requantize_tile(sums + 128 * p, bias, scale, zero, low, high, y + p * y_w, f32_out)
        else:
            requantize_tile(sums + 128 * p, bias, scale, zero, low, high, scratch + PIXEL, f32_out)
            finish_pixels(i, scratch + PIXEL, 0, r + p * r_w, r_w, y + p * y_w, y_w, 1, valid * size, channel)


@njit(nogil=True)
def conv2d(i, share):
    n, h, wd, groups, oc = i.N, i.H, i.W, i.G, i.C
    steps = (i.run + 63) // 64
    kh, runs, f32_out = i.KH, i.runs, i.y_f32
    block_bytes = kh * runs * steps * 2048
    blocks = (oc + BLOCK - 1) // BLOCK
    size = 4 if f32_out else 1
    rows = min(16, wd)
    last, cuts = wd - rows, (wd + 31) // 32
    jobs = groups * blocks
    piece0, piece1, job0, job1 = part_of_either(share, n * h * cuts, jobs, i.split == BY_BLOCKS)
    scratch = scratch_of(i, share)
    write_configuration(scratch + CONFIGURATION, rows)
    configure(scratch + CONFIGURATION)
    x_w, y_w, r_w = i.x_w * i.SW, i.y_w, i.r_w
    row, tap = i.x_h * i.DH, i.x_w * i.DW
    for job in range(job0, job1):
        g, blk = job // blocks, job % blocks
        w = i.w + job * block_bytes
        bias, scale = i.bias + job * BLOCK * 4, i.scale + job * BLOCK * 4
        valid, channel = min(BLOCK, oc - blk * BLOCK), g * oc + blk * BLOCK
        for piece in range(piece0, piece1):
            rr, pixel = piece // cuts, piece % cuts * 32
            x = row_at(i.x, i.x_n, i.SH * i.x_h, rr, h) + g * i.x_c
            y = row_at(i.y, i.y_n, i.y_h, rr, h) + g * i.y_g + blk * BLOCK * size
            r = row_at(i.r, i.r_n, i.r_h, rr, h) + g * i.r_g + blk * BLOCK
            two = pixel + 16 < wd
            o0, o1 = min(pixel, last), min(pixel + 16, last)
            sums_of(x + o0 * x_w, x + o1 * x_w, w, kh, runs, steps, row, tap, x_w, rows, scratch, two)
            store_pixels(
                i, scratch, scratch, y + o0 * y_w, y_w, r + o0 * r_w, rows, bias, scale, valid, f32_out, channel
            )
            if two:
                store_pixels(
                    i,
                    scratch,
                    scratch + 2048,
                    y + o1 * y_w,
                    y_w,
                    r + o1 * r_w,
                    rows,
                    bias,
                    scale,
                    valid,
                    f32_out,
                    channel,
                )
    release()
