"""Convolutions and matrix products: u8 pixels times packed s8 weights, requantized in registers.

A micro-kernel keeps P pixels of one row times `vectors * lanes` output channels in registers over all taps. There is one for
each P up to the set's limit, so that a row is cut into blocks of nearly equal size and none is left with a short tail. A last block
of output channels that fits one vector has kernels of its own, with twice the pixels.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .epilogue import ask_for_targets, epilogue, mode_of
from .finish import finish_pixels
from .isa import narrow_pixels
from .memory import load_i64, words
from .pieces import pieces
from .sizes import SCRATCH_BYTES
from .split import share_of
from .table import kernel
from .target import HARDWARE_DOT, ISA
from .vector import I8, I32, I64, add_to, ask_for, dot4, load_at, pixel, prefetch, splat, vec, vpdpbusd

LANES, VECTORS, MOST = ISA.lanes, ISA.vectors, ISA.pixels
BLOCK = LANES * VECTORS
FIELDS = "x w KH runs steps row tap pix x_next bias scale zero low high y y_pix y_next mode i r r_pix r_next next share paced count".split()
SIGNATURE = types.Tuple([types.int64] * len(FIELDS))
CACHE = 393216  # bytes of weights that stay near while pixels go by
BURST = 1536  # bytes of the next weights that are asked for at once; more are asked for between the steps of the sum
CHAINS = 8  # sums in flight that hide the latency of a dot product


def micro_kernel(pixels, vectors, paired=False):
    """P pixels x `vectors` vectors of output channels, and the `count` - 1 times P pixels that follow them in the row; operands as one
    tuple in the order of FIELDS.

    paired: the second half of the pixels is that of the next row, x_next, y_next and r_next bytes after the first. NOTE: where all pixels are
    one row's their addresses need fewer registers, which is a quarter of the time of a product with few taps.
    """
    dot = vpdpbusd if HARDWARE_DOT else dot4
    ways = max(1, CHAINS // (pixels * vectors)) if HARDWARE_DOT else 1
    size = 4 * LANES * vectors  # bytes of weights that one step reads

    def one_piece(b, a):
        t = vec(I32, LANES)
        start = [load_at(b, add_to(b, a["bias"], 4 * LANES * v), t) for v in range(vectors)]
        zero = ir.Constant(t, [0] * LANES)
        acc = [
            [[cgutils.alloca_once_value(b, zero if k else start[v]) for v in range(vectors)] for _ in range(pixels)] for k in range(ways)
        ]
        w = cgutils.alloca_once_value(b, a["w"])
        ahead = cgutils.alloca_once_value(b, a["next"])
        paced = b.icmp_signed("!=", a["paced"], ir.Constant(I64, 0))
        with b.if_then(b.not_(paced)):
            ask_for(b, a["next"], a["share"])
        pixel_of = places(b, a, pixels, paired)
        ask_for_targets(b, a, pixels, pixel_of)

        def step(at, way, unrolled):
            wa = add_to(b, b.load(w), size * unrolled)
            ws = [load_at(b, add_to(b, wa, 4 * LANES * v), vec(I8, 4 * LANES)) for v in range(vectors)]
            for p in range(pixels):
                four = load_at(b, add_to(b, pixel_of("x", p, at), 4 * unrolled), I32)
                u = b.bitcast(splat(b, four, LANES), vec(I8, 4 * LANES))
                for v in range(vectors):
                    b.store(dot(b, b.load(acc[way][p][v]), u, ws[v]), acc[way][p][v])

        with cgutils.for_range(b, a["KH"]) as kh, cgutils.for_range(b, a["runs"]) as r:
            base = b.add(a["x"], b.add(b.mul(kh.index, a["row"]), b.mul(r.index, a["tap"])))
            if ways > 1:
                many = b.sdiv(a["steps"], ir.Constant(I64, ways))
                with cgutils.for_range(b, many) as s:
                    for k in range(ways):
                        step(b.add(base, b.mul(s.index, ir.Constant(I64, 4 * ways))), k, k)
                    b.store(add_to(b, b.load(w), size * ways), w)
                done = b.mul(many, ir.Constant(I64, ways))
                base = b.add(base, b.mul(done, ir.Constant(I64, 4)))
                rest = b.sub(a["steps"], done)
            else:
                many = b.select(paced, b.lshr(a["steps"], ir.Constant(I64, 3)), ir.Constant(I64, 0))
                with cgutils.for_range(b, many) as eight:
                    for line in range(4):
                        prefetch(b, add_to(b, b.load(ahead), 64 * line), 0, 2)
                    b.store(add_to(b, b.load(ahead), 256), ahead)
                    at = b.add(base, b.shl(eight.index, ir.Constant(I64, 5)))
                    with cgutils.for_range(b, ir.Constant(I64, 8)) as s:
                        step(b.add(at, b.shl(s.index, ir.Constant(I64, 2))), 0, 0)
                        b.store(add_to(b, b.load(w), size), w)
                done = b.shl(many, ir.Constant(I64, 3))
                base = b.add(base, b.shl(done, ir.Constant(I64, 2)))
                rest = b.sub(a["steps"], done)
            with cgutils.for_range(b, rest) as s:
                step(b.add(base, b.shl(s.index, ir.Constant(I64, 2))), 0, 0)
                b.store(add_to(b, b.load(w), size), w)
        sums = []
        for p in range(pixels):
            for v in range(vectors):
                total = b.load(acc[0][p][v])
                for k in range(1, ways):
                    total = b.add(total, b.load(acc[k][p][v]))
                sums.append((p, v, total))
        epilogue(b, a, sums, pixels, vectors, pixel_of)

    @intrinsic
    def run(context, operands):
        def generate(ctx, b, sig, args):
            given = dict(zip(FIELDS, cgutils.unpack_tuple(b, args[0])))
            pieces(b, given, pixels, lambda piece: one_piece(b, piece))
            return ctx.get_dummy_value()

        return types.void(SIGNATURE), generate

    return run


def places(b, a, pixels, paired):
    """A function from an operand's name (x, y or r), a pixel and the operand's start to the pixel's address."""
    steps = {"x": "pix", "y": "y_pix", "r": "r_pix"}

    def of(name, p, at=None):
        start = a[name] if at is None else at
        second = (a[f"{name}_next"], pixels // 2) if paired else ()
        return pixel(b, start, a[steps[name]], p, *second)

    return of


def _dispatcher(vectors, sizes, paired=False):
    """A function (P, operands) that runs the micro-kernel of P pixels: a chain of comparisons, made as text for numba."""
    names = {f"k{p}": njit(nogil=True)(_wrap(micro_kernel(p, vectors, paired))) for p in sizes}
    lines = ["def dispatch(p, a):"] + [f"    {'if' if k == 0 else 'elif'} p == {p}: k{p}(a)" for k, p in enumerate(sizes)]
    scope = dict(names)
    exec("\n".join(lines), scope)  # NOTE: numba cannot index a list of intrinsics; this text is fixed by `sizes` alone
    return njit(nogil=True)(scope["dispatch"])


def _wrap(run):
    def call(a):
        run(a)

    return call


NARROW_MOST = narrow_pixels(ISA)
PAIRED = range(MOST // 4 + 1, MOST // 2 + 1)  # widths of rows that are taken two at a time
wide, narrow = _dispatcher(VECTORS, range(1, MOST + 1)), _dispatcher(1, range(1, NARROW_MOST + 1))
two_rows = _dispatcher(VECTORS, [2 * p for p in PAIRED], paired=True)
FEWEST, WIDEST = PAIRED[0], PAIRED[-1]
(X, Y, SCRATCH, W, BIAS, SCALE, N, H, WD, C, X_N, X_H, X_W, Y_N, Y_H, Y_W, G, X_C, KH, KW, SH, SW, DH, DW, RUNS, RUN, Y_F32, ZERO, LOW, HIGH,
 R, R_N, R_H, R_W, R_G, Y_G, TILE, LIMIT, SPLIT) = words("conv2d", "x y scratch w bias scale N H W C x_n x_h x_w y_n y_h y_w G x_c KH KW SH SW DH DW "
                           "runs run y_f32 zero low high r r_n r_h r_w r_g y_g tile limit split")  # fmt: skip


@kernel("conv2d")
@njit(nogil=True)
def conv2d(i, arena, constants, thread, threads):
    """Rows of pixels are cut into pieces that a micro-kernel takes at once, `limit` pixels at most. A block of output channels meets `tile`
    pieces before the next block does."""
    n, h, wd, groups, oc = load_i64(i + N), load_i64(i + H), load_i64(i + WD), load_i64(i + G), load_i64(i + C)
    steps = (load_i64(i + RUN) + 3) // 4
    kh, runs = load_i64(i + KH), load_i64(i + RUNS)
    padded = (oc + LANES - 1) // LANES * LANES
    channel_bytes = kh * runs * steps * 4
    blocks = (oc + BLOCK - 1) // BLOCK
    f32 = load_i64(i + Y_F32)
    size = 4 if f32 else 1
    jobs = groups * blocks
    tile, limit = load_i64(i + TILE), load_i64(i + LIMIT)
    usual = NARROW_MOST if oc <= LANES else MOST
    if limit > 0:
        usual = min(usual, limit)
    cuts = (wd + usual - 1) // usual
    piece0, piece1, job0, job1 = share_of(n * h * cuts, jobs, thread, threads, load_i64(i + SPLIT))
    if tile == 0:
        tile = max(1, piece1 - piece0)
    streams = (job1 - job0) * BLOCK * channel_bytes > CACHE
    scratch = load_i64(i + SCRATCH) + thread * SCRATCH_BYTES
    x_w, y_w, r_w = load_i64(i + X_W) * load_i64(i + SW), load_i64(i + Y_W), load_i64(i + R_W)
    x_h, y_h, r_h = load_i64(i + X_H) * load_i64(i + SH), load_i64(i + Y_H), load_i64(i + R_H)
    zero, low, high = load_i64(i + ZERO), load_i64(i + LOW), load_i64(i + HIGH)
    row, tap = load_i64(i + X_H) * load_i64(i + DH), load_i64(i + X_W) * load_i64(i + DW)
    in_place = mode_of(i, f32)
    for tile0 in range(piece0, piece1, tile):
        tile1 = min(tile0 + tile, piece1)
        for job in range(job0, job1):
            g, blk = job // blocks, job % blocks
            first = g * padded + blk * BLOCK
            w = load_i64(i + W) + first * channel_bytes
            bias, scale = load_i64(i + BIAS) + first * 4, load_i64(i + SCALE) + first * 4
            valid = min(BLOCK, oc - blk * BLOCK)
            is_narrow = valid <= LANES
            width = LANES if is_narrow else BLOCK
            direct = valid == width and in_place >= 0
            most = NARROW_MOST if is_narrow else MOST
            if limit > 0:
                most = min(most, limit)
            pairs = direct and not is_narrow and FEWEST <= wd <= WIDEST and 2 * wd <= most
            calls = tile1 - tile0
            if pairs:
                calls = (calls + 1) // 2
            elif is_narrow:
                calls = max(1, calls * wd // (cuts * most))
            # NOTE: while a block's pixels go by, the next block's weights, or what follows in the constants, come nearer
            share = (width * channel_bytes // calls + 63) // 64 * 64 if streams or tile0 == piece0 else 0
            ahead = w + width * channel_bytes
            if job + 1 == job1 and tile1 < piece1:
                ahead = load_i64(i + W) + (job0 // blocks * padded + job0 % blocks * BLOCK) * channel_bytes
            paced = 1 if share > BURST else 0
            piece = tile0
            while piece < tile1:
                rr, cut0 = piece // cuts, piece % cuts
                cut1 = min(cuts, cut0 + tile1 - piece)
                piece += cut1 - cut0
                image, oh = rr // h, rr % h
                pair = pairs and piece < tile1 and oh + 1 < h
                x = load_i64(i + X) + image * load_i64(i + X_N) + oh * x_h + g * load_i64(i + X_C)
                y = load_i64(i + Y) + image * load_i64(i + Y_N) + oh * y_h + g * load_i64(i + Y_G) + blk * BLOCK * size
                r = load_i64(i + R) + image * load_i64(i + R_N) + oh * r_h + g * load_i64(i + R_G) + blk * BLOCK
                piece += 1 if pair else 0
                begin, length = wd * cut0 // cuts, wd * cut1 // cuts - wd * cut0 // cuts
                parts = (length + most - 1) // most
                longer, o0 = length % parts, begin
                for k in range(2):  # the pieces that are one pixel longer, then the others
                    pixels, left = length // parts + 1 - k, parts - longer if k else longer
                    while left > 0:
                        count = left if direct else 1
                        xx, yy, rs = x + o0 * x_w, y + o0 * y_w, r + o0 * r_w
                        mode, target, pitch = (in_place, yy, y_w) if direct else (f32, scratch, width * size)
                        operands = (
                            xx, w, kh, runs, steps, row, tap, x_w, x_h, bias, scale, zero, low, high, target, pitch, y_h, mode, i, rs, r_w, r_h,
                            ahead, share, paced, count,
                        )  # fmt: skip
                        if pair:
                            two_rows(2 * pixels, operands)
                        elif is_narrow:
                            narrow(pixels, operands)
                        else:
                            wide(pixels, operands)
                        if not direct:
                            finish_pixels(i, scratch, pitch, rs, r_w, yy, y_w, pixels, valid * size, g * oc + blk * BLOCK)
                        ahead += share * count
                        o0 += pixels * count
                        left -= count
