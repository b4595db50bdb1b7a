"""Depthwise convolution: four kernel rows of one column are interleaved by byte, so that one dot product takes four
taps of each channel.

A column that is interleaved serves every pixel that reads it. Weights are packed for that: [blocks, ceil(KH / 4), KW,
lanes, 4], rows beyond the kernel's are zero. Where channels are fewer than a vector's lanes, a row of pixels is treated
as one run of channels (`flat`).
"""

from __future__ import annotations

from collections import namedtuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .dots import less_offset, pixel_dot
from .epilogue_scratch import finish_pixels
from .jit import njit
from .row import operands
from .split import part_of, row_at, scratch_of
from .target import ISA
from .vector import F32, I8, I32, I64, add_to, const, joined, load_at, mask, part, requantize, store_at, vec

LANES = ISA.lanes
Block = namedtuple(
    "Block", "x w KH KW rows row tap pix bias scale zero low high y y_pix y_f32 count x_on w_on c_on y_on"
)
i64 = types.int64


def interleaved(b, rows):
    """Up to four vectors [lanes] of bytes as one [lanes, 4]; missing ones are zero."""
    rows = [*rows, *[const(vec(I8, LANES), 0)] * (4 - len(rows))]
    rows_joined = joined(b, rows)
    order = mask([LANES * t + c for c in range(LANES) for t in range(4)])
    return b.shuffle_vector(rows_joined, ir.Constant(rows_joined.type, ir.Undefined), order)


def _store_outputs(b, a, sums):
    scale = load_at(b, a["scale"], vec(F32, LANES))
    reals = [b.fmul(b.sitofp(acc, vec(F32, LANES)), scale) for acc in sums]

    def at(p):
        return b.add(a["y"], b.mul(a["y_pix"], ir.Constant(I64, p)))

    with b.if_else(b.icmp_signed("==", a["y_f32"], ir.Constant(I64, 1))) as (as_float, as_bytes):
        with as_float:
            for p, real in enumerate(reals):
                store_at(b, at(p), real)
        with as_bytes:
            for k in range(0, len(reals), 4):
                packed = requantize(b, (reals[k : k + 4] * 4)[:4], a["zero"], a["low"], a["high"])
                for n in range(min(4, len(reals) - k)):
                    store_at(b, at(k + n), part(b, packed, n * LANES, LANES))


def repeated(one_block):
    """An intrinsic that runs one_block(b, operands) `count` times; x, w, bias and scale, and y move on by x_on, w_on,
    c_on, y_on bytes."""

    @intrinsic
    def run(context, block):
        def generate(ctx, b, sig, args):
            given = operands(b, sig, args)
            on = {"x": "x_on", "w": "w_on", "bias": "c_on", "scale": "c_on", "y": "y_on"}
            moving = {name: cgutils.alloca_once_value(b, given[name]) for name in on}
            with cgutils.for_range(b, given["count"]):
                one_block(b, given | {name: b.load(at) for name, at in moving.items()})
                for name, at in moving.items():
                    b.store(b.add(b.load(at), given[on[name]]), at)
            return ctx.get_dummy_value()

        return types.void(block), generate

    return run


def fixed(pixels, kh, kw, stride):
    """P pixels x LANES channels of a kernel of known size and stride, columns interleaved once."""

    def one_block(b, a):
        sums = [load_at(b, a["bias"], vec(I32, LANES))] * pixels
        rows = [b.add(a["x"], b.mul(a["row"], ir.Constant(I64, r))) for r in range(kh)]
        groups = range(0, kh, 4)
        weights = [
            [load_at(b, add_to(b, a["w"], 4 * LANES * (g // 4 * kw + k)), vec(I8, 4 * LANES)) for k in range(kw)]
            for g in groups
        ]
        for column in range((pixels - 1) * stride + kw):
            uses = [(p, column - p * stride) for p in range(pixels) if 0 <= column - p * stride < kw]
            if not uses:
                continue
            step = b.mul(a["tap"], ir.Constant(I64, column))
            for g in groups:
                v = less_offset(
                    b, interleaved(b, [load_at(b, b.add(r, step), vec(I8, LANES)) for r in rows[g : g + 4]])
                )
                for p, k in uses:
                    sums[p] = pixel_dot(b, sums[p], v, weights[g // 4][k])
        _store_outputs(b, a, sums)

    return repeated(one_block)


def any_size(pixels):
    """P pixels x LANES channels of a kernel of any size, stride and dilation."""

    def one_block(b, a):
        start = load_at(b, a["bias"], vec(I32, LANES))
        acc = [cgutils.alloca_once_value(b, start) for _ in range(pixels)]
        for x in acc:
            b.store(start, x)
        w = cgutils.alloca_once_value(b, a["w"])
        b.store(a["w"], w)
        one, last = ir.Constant(I64, 1), b.sub(a["rows"], ir.Constant(I64, 1))
        groups = b.lshr(b.add(a["rows"], ir.Constant(I64, 3)), ir.Constant(I64, 2))
        with cgutils.for_range(b, groups) as g, cgutils.for_range(b, a["KW"]) as k:
            first = b.shl(g.index, ir.Constant(I64, 2))
            rows = []
            for t in range(4):  # a row beyond the kernel's meets zero weights: the last is read again
                r = b.add(first, b.mul(one, ir.Constant(I64, t)))
                r = b.select(b.icmp_signed("<", r, last), r, last)
                for _ in range(2):  # of weights in parts the kernel's rows come again
                    r = b.select(b.icmp_signed("<", r, a["KH"]), r, b.sub(r, a["KH"]))
                rows.append(b.add(b.add(a["x"], b.mul(r, a["row"])), b.mul(k.index, a["tap"])))
            ws = load_at(b, b.load(w), vec(I8, 4 * LANES))
            for p in range(pixels):
                step = b.mul(a["pix"], ir.Constant(I64, p))
                v = less_offset(b, interleaved(b, [load_at(b, b.add(r, step), vec(I8, LANES)) for r in rows]))
                b.store(pixel_dot(b, b.load(acc[p]), v, ws), acc[p])
            b.store(add_to(b, b.load(w), 4 * LANES), w)
        _store_outputs(b, a, [b.load(x) for x in acc])

    return repeated(one_block)


def depthwise(micro, most, fewer):
    """The kernel whose micro-kernels micro(P) compute `most` pixels at a time, `fewer`, or one."""
    run_most, run_fewer, run_one = micro(most), micro(fewer), micro(1)

    @njit(nogil=True)
    def kernel(i, share):
        n, h, c, f32 = i.N, i.H, i.C, i.y_f32
        kh, kw, sw, dw = i.KH, i.KW, i.SW, i.DW
        size = 4 if f32 else 1
        pix, y_w, post, r_w = i.x_w * sw, i.y_w, i.post, i.r_w
        row, tap = i.x_h * i.DH, i.x_w * dw
        zero, low, high = i.zero, i.low, i.high
        w, bias, scale, blocks = i.w, i.bias, i.scale, i.blocks
        rows = kh * i.parts
        block_bytes = (rows + 3) // 4 * kw * LANES * 4
        scratch = scratch_of(i, share)
        flat = i.flat
        wd, channels = (1, i.W * c) if flat else (i.W, c)
        together = most if wd >= most else fewer if wd >= fewer else 1
        steps = (channels + LANES - 1) // LANES
        # NOTE: one call runs all blocks of whole vectors for a group of pixels, or all groups of pixels for a block,
        # whichever are more
        full = channels // LANES if post == 0 and not flat and channels >= LANES else 0
        groups = wd // together if post == 0 and channels >= LANES else 1
        along = groups > max(1, full)
        x_on, w_on, c_on, y_on = (
            (together * pix, 0, 0, together * y_w) if along else (LANES, block_bytes, 4 * LANES, LANES * size)
        )
        first, end = part_of(share, n * h)
        for rr in range(first, end):
            x = row_at(i.x, i.x_n, i.SH * i.x_h, rr, h)
            y = row_at(i.y, i.y_n, i.y_h, rr, h)
            r = row_at(i.r, i.r_n, i.r_h, rr, h)
            o = 0
            while o < wd:
                o = min(o, wd - together)  # the last group: some pixels once more
                many = max(1, (wd - o) // together) if along else 1
                s, block = 0, 0
                while s < steps:
                    blocks_at_once = 1 if along else max(1, full - s)
                    k = s * LANES if flat or channels < LANES else min(s * LANES, channels - LANES)
                    valid = min(LANES, channels - k)
                    direct = valid == LANES and post == 0
                    count = many * blocks_at_once
                    at, cs = block * block_bytes, block * LANES * 4
                    yy = y + o * y_w + k * size
                    target, pitch = (yy, y_w) if direct else (scratch, LANES * size)
                    operands = Block(
                        x=x + o * pix + k, w=w + at, KH=kh, KW=kw, rows=rows, row=row, tap=tap, pix=pix, bias=bias + cs,
                        scale=scale + cs, zero=zero,
                        low=low, high=high, y=target, y_pix=pitch, y_f32=f32, count=count, x_on=x_on, w_on=w_on,
                        c_on=c_on, y_on=y_on,
                    )  # fmt: skip
                    if together == most:
                        run_most(operands)
                    elif together == fewer:
                        run_fewer(operands)
                    else:
                        run_one(operands)
                    if not direct:
                        finish_pixels(i, scratch, pitch, r + o * r_w + k, r_w, yy, y_w, together, valid * size, k)
                    s += blocks_at_once
                    block = block + blocks_at_once if block + blocks_at_once < blocks else 0
                o += together * many

    return kernel


def of_size(kernel, stride):
    """A square kernel of known size and stride, without dilation."""
    return depthwise(lambda pixels: fixed(pixels, kernel, kernel, stride), *((8, 4) if LANES == 16 else (4, 2)))


k3s1, k3s2, k5s1, k5s2 = (of_size(kernel, stride) for kernel in (3, 5) for stride in (1, 2))
any_kernel = depthwise(any_size, 4, 4)
