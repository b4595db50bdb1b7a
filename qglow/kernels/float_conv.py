"""Float convolutions and matrix products: each output is one chain of fused multiply-adds from its bias, in the law's order.

As in conv.py a micro-kernel keeps P pixels of one row times `vectors * lanes` output channels in registers over all taps, there is one
for each P up to a limit, and a last block of output channels that fits one vector has kernels of its own. The chains of a block are
independent of each other, so that blocks of any size give the same bits.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..instructions.table import BY_BLOCKS, BY_ROWS, POST_ADD
from .finish import copy_pixels
from .fused import HARDWARE_FMA, fma
from .memory import load_i64, words
from .pieces import pieces
from .sizes import SCRATCH_BYTES
from .split import share_of
from .table import kernel
from .target import ISA
from .vector import F32, I64, add_to, ask_for, load_at, pixel, prefetch, splat, store_at, vec

LANES, VECTORS = ISA.lanes, 2
BLOCK = LANES * VECTORS
MOST = (14 if LANES == 16 else 6) if HARDWARE_FMA else 2
NARROW_MOST = (24 if LANES == 16 else 10) if HARDWARE_FMA else 2
FIELDS = "x w KH runs steps row tap pix bias y y_pix post i r r_pix next share count".split()
SIGNATURE = types.Tuple([types.int64] * len(FIELDS))
CACHE = 393216  # bytes of weights, or of pixels in and out, that are worth keeping near while all of the other go by
BURST = 4096  # bytes of the next weights that are asked for at once
ACT, LOW, HIGH = words("float_conv2d", "act f_low f_high")


def limits_of(b, i, act, low, high):
    """The bounds of an instruction as vectors: not a number where there is none, so that no comparison with it holds."""
    kind, none = load_at(b, add_to(b, i, act), I64), ir.Constant(F32, float("nan"))
    found = []
    for least, offset in ((1, low), (2, high)):
        bound = load_at(b, add_to(b, i, offset), F32)
        found.append(splat(b, b.select(b.icmp_signed(">=", kind, ir.Constant(I64, least)), bound, none), LANES))
    return found


def limited(b, v, low, high):
    """v, or the bound that it is beyond."""
    v = b.select(b.fcmp_ordered(">", low, v), low, v)
    return b.select(b.fcmp_ordered("<", high, v), high, v)


def micro_kernel(pixels, vectors):
    """P pixels x `vectors` vectors of output channels, and the `count` - 1 times P pixels that follow them in the row; operands as one
    tuple in the order of FIELDS.
    """
    size = 4 * LANES * vectors  # bytes of weights that one step reads

    def one_piece(b, a):
        t = vec(F32, LANES)
        start = [load_at(b, add_to(b, a["bias"], 4 * LANES * v), t) for v in range(vectors)]
        acc = [[cgutils.alloca_once_value(b, start[v]) for v in range(vectors)] for _ in range(pixels)]
        for p in range(pixels):
            for v in range(vectors):
                b.store(start[v], acc[p][v])
        w = cgutils.alloca_once_value(b, a["w"])
        b.store(a["w"], w)
        ask_for(b, a["next"], a["share"])
        for p in range(pixels):
            prefetch(b, pixel(b, a["y"], a["y_pix"], p), 1, 3)
        with cgutils.for_range(b, a["KH"]) as kh, cgutils.for_range(b, a["runs"]) as r:
            base = b.add(a["x"], b.add(b.mul(kh.index, a["row"]), b.mul(r.index, a["tap"])))
            with cgutils.for_range(b, a["steps"]) as s:
                at = b.add(base, b.shl(s.index, ir.Constant(I64, 2)))
                ws = [load_at(b, add_to(b, b.load(w), 4 * LANES * v), t) for v in range(vectors)]
                for p in range(pixels):
                    x = splat(b, load_at(b, pixel(b, at, a["pix"], p), F32), LANES)
                    for v in range(vectors):
                        b.store(fma(b, x, ws[v], b.load(acc[p][v])), acc[p][v])
                b.store(add_to(b, b.load(w), size), w)
        finish(b, a, acc, pixels, vectors)

    @intrinsic
    def run(context, operands):
        def generate(ctx, b, sig, args):
            given = dict(zip(FIELDS, cgutils.unpack_tuple(b, args[0])))
            pieces(b, given, pixels, lambda piece: one_piece(b, piece))
            return ctx.get_dummy_value()

        return types.void(SIGNATURE), generate

    return run


def finish(b, a, acc, pixels, vectors):
    """Plus the residual where there is one, within the bounds, stored."""
    low, high = limits_of(b, a["i"], ACT, LOW, HIGH)

    def store(residual):
        for p in range(pixels):
            y = pixel(b, a["y"], a["y_pix"], p)
            r = pixel(b, a["r"], a["r_pix"], p) if residual else None
            for v in range(vectors):
                value = b.load(acc[p][v])
                if residual:
                    value = b.fadd(value, load_at(b, add_to(b, r, 4 * LANES * v), vec(F32, LANES)))
                store_at(b, add_to(b, y, 4 * LANES * v), limited(b, value, low, high))

    with b.if_else(b.icmp_signed("==", a["post"], ir.Constant(I64, POST_ADD))) as (added, plain):
        with added:
            store(True)
        with plain:
            store(False)


def _dispatcher(vectors, most):
    """A function (P, operands) that runs the micro-kernel of P pixels: a chain of comparisons, made as text for numba."""
    names = {f"k{p}": njit(nogil=True)(_wrap(micro_kernel(p, vectors))) for p in range(1, most + 1)}
    lines = ["def dispatch(p, a):"] + [f"    {'if' if p == 1 else 'elif'} p == {p}: k{p}(a)" for p in range(1, most + 1)]
    scope = dict(names)
    exec("\n".join(lines), scope)  # NOTE: this text is fixed by `most` alone
    return njit(nogil=True)(scope["dispatch"])


def _wrap(run):
    def call(a):
        run(a)

    return call


wide, narrow = _dispatcher(VECTORS, MOST), _dispatcher(1, NARROW_MOST)
(X, Y, SCRATCH, W, BIAS, N, H, WD, C, X_N, X_H, X_W, Y_N, Y_H, Y_W, G, X_C, KH, SH, SW, DH, DW, RUNS, RUN, POST, R, R_N, R_H, R_W, R_G,
 Y_G) = words("float_conv2d", "x y scratch w bias N H W C x_n x_h x_w y_n y_h y_w G x_c KH SH SW DH DW runs run post r r_n r_h r_w r_g y_g")  # fmt: skip


@njit(nogil=True)
def tile_of(pieces, piece, jobs, weights):
    """Pieces of pixels that meet all weights before the next do: what fits a cache, or all where it is cheaper that they go by for each
    block of weights. piece: bytes of one; weights: of one block."""
    tile = max(2, CACHE // max(1, piece))
    tiles, every = (pieces + tile - 1) // tile, jobs * weights
    again = tiles * every if every > CACHE else every
    return tile if tile < pieces and again + pieces * piece < every + jobs * pieces * piece else max(1, pieces)


@kernel("float_conv2d")
@njit(nogil=True)
def float_conv2d(i, arena, constants, thread, threads):
    """Rows of pixels are cut into pieces that a micro-kernel takes at once; threads share them, or blocks of output channels where pieces
    are few. Outputs depend on none of it."""
    n, h, wd, groups, oc = load_i64(i + N), load_i64(i + H), load_i64(i + WD), load_i64(i + G), load_i64(i + C)
    kh, runs, steps = load_i64(i + KH), load_i64(i + RUNS), load_i64(i + RUN)
    padded = (oc + LANES - 1) // LANES * LANES
    channel_bytes = kh * runs * steps * 4
    blocks = (oc + BLOCK - 1) // BLOCK
    jobs = groups * blocks
    usual = NARROW_MOST if oc <= LANES else MOST
    cuts = (wd + usual - 1) // usual
    total = n * h * cuts
    split = BY_ROWS if total >= 2 * threads else BY_BLOCKS
    piece0, piece1, job0, job1 = share_of(total, jobs, thread, threads, split)
    scratch = load_i64(i + SCRATCH) + thread * SCRATCH_BYTES
    x_w, y_w, r_w = load_i64(i + X_W) * load_i64(i + SW), load_i64(i + Y_W), load_i64(i + R_W)
    x_h, y_h, r_h = load_i64(i + X_H) * load_i64(i + SH), load_i64(i + Y_H), load_i64(i + R_H)
    row, tap, post = load_i64(i + X_H) * load_i64(i + DH), load_i64(i + X_W) * load_i64(i + DW), load_i64(i + POST)
    tile = tile_of(piece1 - piece0, (wd + cuts - 1) // cuts * (x_w + y_w), job1 - job0, BLOCK * channel_bytes)
    for tile0 in range(piece0, piece1, tile):
        tile1 = min(tile0 + tile, piece1)
        for job in range(job0, job1):
            g, blk = job // blocks, job % blocks
            first = g * padded + blk * BLOCK
            w, bias = load_i64(i + W) + first * channel_bytes, load_i64(i + BIAS) + first * 4
            valid = min(BLOCK, oc - blk * BLOCK)
            is_narrow = valid <= LANES
            width = LANES if is_narrow else BLOCK
            direct = valid == width
            most = NARROW_MOST if is_narrow else MOST
            # NOTE: while a block's pixels go by, the next block's weights, or what follows in the constants, come nearer
            share = min(BURST, (width * channel_bytes // (tile1 - tile0) + 63) // 64 * 64) if tile0 == piece0 else 0
            ahead = w + width * channel_bytes
            piece = tile0
            while piece < tile1:
                rr, cut0 = piece // cuts, piece % cuts
                cut1 = min(cuts, cut0 + tile1 - piece)
                piece += cut1 - cut0
                image, oh = rr // h, rr % h
                x = load_i64(i + X) + image * load_i64(i + X_N) + oh * x_h + g * load_i64(i + X_C)
                y = load_i64(i + Y) + image * load_i64(i + Y_N) + oh * y_h + g * load_i64(i + Y_G) + blk * BLOCK * 4
                r = load_i64(i + R) + image * load_i64(i + R_N) + oh * r_h + g * load_i64(i + R_G) + blk * BLOCK * 4
                begin, length = wd * cut0 // cuts, wd * cut1 // cuts - wd * cut0 // cuts
                parts = (length + most - 1) // most
                longer, o0 = length % parts, begin
                for k in range(2):  # the pieces that are one pixel longer, then the others
                    pixels, left = length // parts + 1 - k, parts - longer if k else longer
                    while left > 0:
                        count = left if direct else 1
                        target, pitch, rs = (y + o0 * y_w, y_w, r + o0 * r_w) if direct else (scratch, width * 4, r + o0 * r_w)
                        operands = (
                            x + o0 * x_w, w, kh, runs, steps, row, tap, x_w, bias, target, pitch, post, i, rs, r_w, ahead, share, count,
                        )  # fmt: skip
                        if is_narrow:
                            narrow(pixels, operands)
                        else:
                            wide(pixels, operands)
                        if not direct:
                            copy_pixels(y + o0 * y_w, y_w, scratch, pitch, pixels, valid * 4)
                        ahead += share * count
                        o0 += pixels * count
                        left -= count
