"""A product's way over its pixels and output channels, around micro-kernels: int8 and float products go the same way.

A micro-kernel keeps P pixels of one row times `vectors * lanes` output channels in registers over all taps. There is one for each P up
to a limit, so that a row is cut into pieces of nearly equal size and none is left with a short tail; one call runs all pieces of a size
that follow each other. A last block of output channels that fits one vector has kernels of its own, with more pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import njit
from .memory import load_i64, words
from .sizes import SCRATCH_BYTES
from .split import share_of
from .target import ISA
from .vector import I64, pixel

FIELDS = "x w KH runs steps row tap pix x_next bias y y_pix y_next mode i r r_pix r_next next share interleave_prefetch count first".split()
SIGNATURE = types.Tuple([types.int64] * len(FIELDS))
STEPS = {"x": "pix", "y": "y_pix", "r": "r_pix"}  # what one pixel is further, by operand
WORDS = "x y scratch w bias N H W C x_n x_h x_w y_n y_h y_w G x_c KH SH SW DH DW runs run r r_n r_h r_w r_g y_g tile limit split"
LANES, NEAR = ISA.lanes, ISA.near


@dataclass(frozen=True)
class Kernels:
    """What differs between products.

    micro(b, operands, pixels, vectors, pixel_of) makes the code of one piece: operands by the names of FIELDS, pixel_of(operand, pixel) an
    address. most, narrow_most: pixels of a piece at most, for `vectors` vectors and for one. paired: whether there are kernels of two rows.
    taps: elements of a run that one step takes. size(i): bytes of an output element. modes(i): what a piece does at its end, in place (-1:
    it cannot) and in the scratch, from where finish(i, scratch, pitch, r, r_w, y, y_w, pixels, bytes, channel) takes it. r_size: bytes of
    a residual's element. burst: bytes of the next weights that a piece asks for at once, more are asked for by steps (`interleave_prefetch`).
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
    finish: Any


def micro_kernel(micro, pixels, vectors, paired):
    """An intrinsic of a tuple in the order of FIELDS: `count` pieces of so many pixels, one after the other in a row.

    paired: the second half of the pixels is that of the next row, x_next, y_next and r_next bytes after the first. NOTE: where all pixels are
    one row's their addresses need fewer registers, which is a quarter of the time of a product with few taps.
    """

    @intrinsic
    def run(context, operands):
        def generate(ctx, b, sig, args):
            given = dict(zip(FIELDS, cgutils.unpack_tuple(b, args[0])))
            on = {name: b.mul(given[step], ir.Constant(I64, pixels)) for name, step in STEPS.items()} | {"next": given["share"]}
            moving = {name: cgutils.alloca_once_value(b, given[name]) for name in on}
            with cgutils.for_range(b, given["count"]):
                piece = given | {name: b.load(at) for name, at in moving.items()}

                def pixel_of(name, p, at=None):
                    second = (piece[f"{name}_next"], pixels // 2) if paired else ()
                    return pixel(b, piece[name] if at is None else at, piece[STEPS[name]], p, *second)

                micro(b, piece, pixels, vectors, pixel_of)
                for name, at in moving.items():
                    b.store(b.add(b.load(at), on[name]), at)
            return ctx.get_dummy_value()

        return types.void(SIGNATURE), generate

    return run


def _dispatcher(micro, vectors, sizes, paired=False):
    """A function (P, operands) that runs the micro-kernel of P pixels: a chain of comparisons, made as text for numba."""
    names = {f"k{p}": njit(nogil=True)(_wrap(micro_kernel(micro, p, vectors, paired))) for p in sizes}
    lines = ["def dispatch(p, a):"] + [f"    {'if' if k == 0 else 'elif'} p == {p}: k{p}(a)" for k, p in enumerate(sizes)]
    scope = dict(names)
    exec("\n".join(lines), scope)  # NOTE: numba cannot index a list of intrinsics; this text is fixed by `sizes` alone
    return njit(nogil=True)(scope["dispatch"])


def _wrap(run):
    def call(a):
        run(a)

    return call


def product(kind, k):
    """The kernel of an instruction that has WORDS, by its Kernels."""
    (X, Y, SCRATCH, W, BIAS, N, H, WD, C, X_N, X_H, X_W, Y_N, Y_H, Y_W, G, X_C, KH, SH, SW, DH, DW, RUNS, RUN, R, R_N, R_H, R_W, R_G, Y_G,
     TILE, LIMIT, SPLIT) = words(kind, WORDS)  # fmt: skip
    most_wide, most_narrow, taps, burst, r_size, block = k.most, k.narrow_most, k.taps, k.burst, k.r_size, LANES * k.vectors
    size_of, modes_of, finish = k.size, k.modes, k.finish
    wide = _dispatcher(k.micro, k.vectors, range(1, most_wide + 1))
    narrow = _dispatcher(k.micro, 1, range(1, most_narrow + 1))
    min_pixels, widest = (most_wide // 4 + 1, most_wide // 2) if k.paired else (1, 0)  # pixels of rows that are taken two at a time
    two_rows = _dispatcher(k.micro, k.vectors, [2 * p for p in range(min_pixels, widest + 1)], paired=True) if k.paired else wide

    @njit(nogil=True)
    def run(i, worker, constants, thread, threads):
        """A block of output channels meets `tile` pieces of rows before the next block does, each of `limit` pixels at most."""
        n, h, wd, groups, oc = load_i64(i + N), load_i64(i + H), load_i64(i + WD), load_i64(i + G), load_i64(i + C)
        steps = (load_i64(i + RUN) + taps - 1) // taps
        kh, runs = load_i64(i + KH), load_i64(i + RUNS)
        padded = (oc + LANES - 1) // LANES * LANES
        channel_bytes = kh * runs * steps * 4
        blocks = (oc + block - 1) // block
        size = size_of(i)
        jobs = groups * blocks
        tile, limit = load_i64(i + TILE), load_i64(i + LIMIT)
        usual = most_narrow if oc <= LANES else most_wide
        if limit > 0:
            usual = min(usual, limit)
        cuts = (wd + usual - 1) // usual
        piece0, piece1, job0, job1 = share_of(n * h * cuts, jobs, thread, threads, load_i64(i + SPLIT))
        if tile == 0:
            tile = max(1, piece1 - piece0)
        streams = (job1 - job0) * block * channel_bytes > NEAR
        scratch = load_i64(i + SCRATCH) + worker * SCRATCH_BYTES
        x_w, y_w, r_w = load_i64(i + X_W) * load_i64(i + SW), load_i64(i + Y_W), load_i64(i + R_W)
        x_h, y_h, r_h = load_i64(i + X_H) * load_i64(i + SH), load_i64(i + Y_H), load_i64(i + R_H)
        row, tap = load_i64(i + X_H) * load_i64(i + DH), load_i64(i + X_W) * load_i64(i + DW)
        in_place, aside = modes_of(i)
        for tile0 in range(piece0, piece1, tile):
            tile1 = min(tile0 + tile, piece1)
            for job in range(job0, job1):
                g, blk = job // blocks, job % blocks
                first = g * padded + blk * block
                w, bias = load_i64(i + W) + first * channel_bytes, load_i64(i + BIAS) + first * 4
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
                # NOTE: while a block's pixels go by, the next block's weights, or what follows in the constants, come nearer
                share = (width * channel_bytes // calls + 63) // 64 * 64 if streams or tile0 == piece0 else 0
                ahead = w + width * channel_bytes
                if job + 1 == job1 and tile1 < piece1:
                    ahead = load_i64(i + W) + (job0 // blocks * padded + job0 % blocks * block) * channel_bytes
                interleave_prefetch = 1 if share > burst else 0
                piece = tile0
                while piece < tile1:
                    rr, cut0 = piece // cuts, piece % cuts
                    cut1 = min(cuts, cut0 + tile1 - piece)
                    piece += cut1 - cut0
                    image, oh = rr // h, rr % h
                    pair = pairs and piece < tile1 and oh + 1 < h
                    x = load_i64(i + X) + image * load_i64(i + X_N) + oh * x_h + g * load_i64(i + X_C)
                    y = load_i64(i + Y) + image * load_i64(i + Y_N) + oh * y_h + g * load_i64(i + Y_G) + blk * block * size
                    r = load_i64(i + R) + image * load_i64(i + R_N) + oh * r_h + g * load_i64(i + R_G) + blk * block * r_size
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
                            operands = (
                                xx, w, kh, runs, steps, row, tap, x_w, x_h, bias, target, pitch, y_h, mode, i, rs, r_w, r_h, ahead, share, interleave_prefetch,
                                count, first,
                            )  # fmt: skip
                            if pair:
                                two_rows(2 * pixels, operands)
                            elif is_narrow:
                                narrow(pixels, operands)
                            else:
                                wide(pixels, operands)
                            if not direct:
                                finish(i, scratch, pitch, rs, r_w, yy, y_w, pixels, valid * size, g * oc + blk * block)
                            ahead += share * count
                            o0 += pixels * count
                            left -= count

    return run
