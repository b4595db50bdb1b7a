"""A product's way over its pixels and output channels, around micro-kernels: int8 and float products go the same way.

A micro-kernel keeps P pixels of one row times `vectors * lanes` output channels in registers over all taps. There is
one for each P up to a limit, so that a row is cut into pieces of nearly equal size and none is left with a short tail;
one call runs all pieces of a size that follow each other. A last block of output channels that fits one vector has
kernels of its own, with more pixels.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..instructions.table import BY_BLOCKS
from .jit import chosen, function_of, njit
from .row import operands
from .split import part_of_either, scratch_of
from .target import ISA
from .vector import I64, pixel, prefetch, prefetch_range

Operands = namedtuple(  # operands of a micro-kernel
    "Operands",
    "x w KH runs steps row tap pix x_next bias y y_pix y_next mode i r r_pix r_next next share interleave_prefetch "
    "count first job",
)
STEPS = {"x": "pix", "y": "y_pix", "r": "r_pix"}  # what one pixel is further, by operand
LANES, NEAR = ISA.lanes, ISA.near


@dataclass(frozen=True)
class Kernels:
    """What differs between products.

    micro(b, operands, pixels, vectors, pixel_of) makes the code of one piece: operands by the names of Operands,
    pixel_of(operand, pixel) an address. most, narrow_most: pixels of a piece at most, for `vectors` vectors and for
    one. paired: whether there are kernels of two rows. taps: elements of a run that one step takes. size(i): bytes of
    an output element. modes(i): what a piece does at its end, in place (-1: it cannot) and in the scratch, from where
    epilogue(i, scratch, pitch, r, r_w, y, y_w, pixels, bytes, channel) takes it. r_size: bytes of a residual's element,
    0 where there is none. burst: bytes of the next weights that a piece asks for at once, more are asked for by steps
    (`interleave_prefetch`).
    """

    vectors: int
    most: int
    narrow_most: int
    paired: bool
    taps: int
    burst: int
    r_size: int
    micro: Any
    size: Any
    modes: Any
    epilogue: Any


def micro_kernel(micro, pixels, vectors, paired):
    """An intrinsic of Operands: `count` pieces of so many pixels, one after the other in a row.

    paired: the second half of the pixels is that of the next row, x_next, y_next and r_next bytes after the first.
    NOTE: where all pixels are one row's their addresses need fewer registers, which is a quarter of the time of a
    product with few taps.
    """

    @intrinsic
    def run(context, piece):
        def generate(ctx, b, sig, args):
            given = operands(b, sig, args)
            on = {name: b.mul(given[step], ir.Constant(I64, pixels)) for name, step in STEPS.items()} | {
                "next": given["share"]
            }
            moving = {name: cgutils.alloca_once_value(b, given[name]) for name in on}
            with cgutils.for_range(b, given["count"]):
                now = given | {name: b.load(at) for name, at in moving.items()}

                def pixel_of(name, p, at=None):
                    second = (now[f"{name}_next"], pixels // 2) if paired else ()
                    return pixel(b, now[name] if at is None else at, now[STEPS[name]], p, *second)

                micro(b, now, pixels, vectors, pixel_of)
                for name, at in moving.items():
                    b.store(b.add(b.load(at), on[name]), at)
            return ctx.get_dummy_value()

        return types.void(piece), generate

    return run


def begun(b, a, pixels, pixel_of, burst):
    """A variable of where the weights of the next step are; of the next piece's weights `burst` bytes at most are asked
    for, and the lines that the outputs go to."""
    w = cgutils.alloca_once_value(b, a["w"])
    b.store(a["w"], w)
    if burst:
        most = ir.Constant(I64, burst)
        prefetch_range(b, a["next"], b.select(b.icmp_signed("<", a["share"], most), a["share"], most))
    for p in range(pixels):
        prefetch(b, pixel_of("y", p), 1, 3)
    return w


def _dispatcher(micro, vectors, sizes, paired=False):
    """A function (P, operands) that runs the micro-kernel of P pixels."""
    return chosen({p: function_of(micro_kernel(micro, p, vectors, paired)) for p in sizes})


@njit(nogil=True)
def residual_of(i):
    """The address of an instruction's residual and its strides: image, row, column, group."""
    return i.r, i.r_n, i.r_h, i.r_w, i.r_g


@njit(nogil=True)
def no_residual(i):
    return 0, 0, 0, 0, 0


def product(k):
    """The kernel of an instruction with the words of a conv2d's loops, by its Kernels."""
    residual = residual_of if k.r_size else no_residual
    most_wide, most_narrow, taps, burst, r_size, block = (
        k.most,
        k.narrow_most,
        k.taps,
        k.burst,
        k.r_size,
        LANES * k.vectors,
    )
    size_of, modes_of, epilogue = k.size, k.modes, k.epilogue
    wide = _dispatcher(k.micro, k.vectors, range(1, most_wide + 1))
    narrow = _dispatcher(k.micro, 1, range(1, most_narrow + 1))
    # pixels of rows that are taken two at a time
    min_pixels, widest = (most_wide // 4 + 1, most_wide // 2) if k.paired else (1, 0)
    two_rows = (
        _dispatcher(k.micro, k.vectors, [2 * p for p in range(min_pixels, widest + 1)], paired=True)
        if k.paired
        else wide
    )

    @njit(nogil=True)
    def run(i, share):
        """A block of output channels meets `tile` pieces of rows before the next block does, each of `limit` pixels at
        most."""
        n, h, wd, groups, oc = i.N, i.H, i.W, i.G, i.C
        steps = (i.run + taps - 1) // taps
        kh, runs = i.KH, i.runs
        padded = (oc + LANES - 1) // LANES * LANES
        channel_bytes = kh * runs * steps * 4
        blocks = (oc + block - 1) // block
        size = size_of(i)
        jobs = groups * blocks
        tile, limit = i.tile, i.limit
        usual = most_narrow if oc <= LANES else most_wide
        if limit > 0:
            usual = min(usual, limit)
        cuts = (wd + usual - 1) // usual
        piece0, piece1, job0, job1 = part_of_either(share, n * h * cuts, jobs, i.split == BY_BLOCKS)
        if tile == 0:
            tile = max(1, piece1 - piece0)
        streams = (job1 - job0) * block * channel_bytes > NEAR
        scratch = scratch_of(i, share)
        r_at, r_n, r_h, r_w, r_g = residual(i)
        x_w, y_w = i.x_w * i.SW, i.y_w
        x_h, y_h = i.x_h * i.SH, i.y_h
        row, tap = i.x_h * i.DH, i.x_w * i.DW
        in_place, aside = modes_of(i)
        for tile0 in range(piece0, piece1, tile):
            tile1 = min(tile0 + tile, piece1)
            for job in range(job0, job1):
                g, blk = job // blocks, job % blocks
                first = g * padded + blk * block
                w, bias = i.w + first * channel_bytes, i.bias + first * 4
                valid = min(block, oc - blk * block)
                is_narrow = valid <= LANES
                width = LANES if is_narrow else block
                direct = valid == width and in_place >= 0
                most = most_narrow if is_narrow else most_wide
                if limit > 0:
                    most = min(most, limit)
                pairs = direct and not is_narrow and min_pixels <= wd <= widest and 2 * wd <= most
                calls = tile1 - tile0
                if pairs:
                    calls = (calls + 1) // 2
                elif is_narrow:
                    calls = max(1, calls * wd // (cuts * most))
                # NOTE: while a block's pixels go by, the next block's weights, or what follows in the constants, come
                # nearer
                ahead_bytes = (width * channel_bytes // calls + 63) // 64 * 64 if streams or tile0 == piece0 else 0
                ahead = w + width * channel_bytes
                if job + 1 == job1 and tile1 < piece1:
                    ahead = i.w + (job0 // blocks * padded + job0 % blocks * block) * channel_bytes
                interleave_prefetch = 1 if ahead_bytes > burst else 0
                piece = tile0
                while piece < tile1:
                    rr, cut0 = piece // cuts, piece % cuts
                    cut1 = min(cuts, cut0 + tile1 - piece)
                    piece += cut1 - cut0
                    image, oh = rr // h, rr % h
                    pair = pairs and piece < tile1 and oh + 1 < h
                    x = i.x + image * i.x_n + oh * x_h + g * i.x_c
                    y = i.y + image * i.y_n + oh * y_h + g * i.y_g + blk * block * size
                    r = r_at + image * r_n + oh * r_h + g * r_g + blk * block * r_size
                    piece += 1 if pair else 0
                    begin, length = wd * cut0 // cuts, wd * cut1 // cuts - wd * cut0 // cuts
                    parts = (length + most - 1) // most
                    longer, o0 = length % parts, begin
                    for shorter in range(2):  # the pieces that are one pixel longer, then the others
                        pixels, left = length // parts + 1 - shorter, parts - longer if shorter else longer
                        while left > 0:
                            count = left if direct else 1
                            xx, yy, rs = x + o0 * x_w, y + o0 * y_w, r + o0 * r_w
                            mode, target, pitch = (in_place, yy, y_w) if direct else (aside, scratch, width * size)
                            operands = Operands(
                                x=xx, w=w, KH=kh, runs=runs, steps=steps, row=row, tap=tap, pix=x_w, x_next=x_h,
                                bias=bias, y=target,
                                y_pix=pitch, y_next=y_h, mode=mode, i=i, r=rs, r_pix=r_w, r_next=r_h, next=ahead,
                                share=ahead_bytes,
                                interleave_prefetch=interleave_prefetch, count=count, first=first, job=job,
                            )  # fmt: skip
                            if pair:
                                two_rows(2 * pixels, operands)
                            elif is_narrow:
                                narrow(pixels, operands)
                            else:
                                wide(pixels, operands)
                            if not direct:
                                channel = g * oc + blk * block
                                epilogue(i, scratch, pitch, rs, r_w, yy, y_w, pixels, valid * size, channel)
                            ahead += ahead_bytes * count
                            o0 += pixels * count
                            left -= count

    return run
