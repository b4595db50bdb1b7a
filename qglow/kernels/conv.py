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

from .finish import SCRATCH_BYTES, finish_pixels
from .memory import load_i64, words
from .table import kernel
from .target import HARDWARE_DOT, ISA
from .vector import F32, I8, I32, I64, add_to, dot4, load_at, part, requantize, splat, store_at, vec, vpdpbusd

LANES, VECTORS, MOST = ISA.lanes, ISA.vectors, ISA.pixels
BLOCK = LANES * VECTORS
FIELDS = "x w KH runs steps row tap pix bias scale zero low high y y_pix y_f32".split()
SIGNATURE = types.Tuple([types.int64] * len(FIELDS))
CHAINS = 8  # sums in flight that hide the latency of a dot product


def micro_kernel(pixels, vectors):
    """P pixels x `vectors` vectors of output channels; operands as one tuple in the order of FIELDS."""
    dot = vpdpbusd if HARDWARE_DOT else dot4
    ways = max(1, CHAINS // (pixels * vectors)) if HARDWARE_DOT else 1
    size = 4 * LANES * vectors  # bytes of weights that one step reads

    @intrinsic
    def run(context, operands):
        def generate(ctx, b, sig, args):
            a = dict(zip(FIELDS, cgutils.unpack_tuple(b, args[0])))
            t = vec(I32, LANES)
            start = [load_at(b, add_to(b, a["bias"], 4 * LANES * v), t) for v in range(vectors)]
            zero = ir.Constant(t, [0] * LANES)
            acc = [
                [[cgutils.alloca_once_value(b, zero if k else start[v]) for v in range(vectors)] for _ in range(pixels)]
                for k in range(ways)
            ]
            w = cgutils.alloca_once_value(b, a["w"])

            def step(at, way, unrolled):
                wa = add_to(b, b.load(w), size * unrolled)
                ws = [load_at(b, add_to(b, wa, 4 * LANES * v), vec(I8, 4 * LANES)) for v in range(vectors)]
                for p in range(pixels):
                    four = load_at(b, b.add(add_to(b, at, 4 * unrolled), b.mul(a["pix"], ir.Constant(I64, p))), I32)
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
                    rest = a["steps"]
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
            _epilogue(b, a, sums, vectors)
            return ctx.get_dummy_value()

        return types.void(SIGNATURE), generate

    return run


def _epilogue(b, a, sums, vectors):
    """Scale, and store as float, or as bytes four vectors at a time."""
    scales = [load_at(b, add_to(b, a["scale"], 4 * LANES * v), vec(F32, LANES)) for v in range(vectors)]

    def at(p):
        return b.add(a["y"], b.mul(a["y_pix"], ir.Constant(I64, p)))

    with b.if_else(b.icmp_signed("==", a["y_f32"], ir.Constant(I64, 1))) as (as_float, as_bytes):
        with as_float:
            for p, v, acc in sums:
                store_at(b, add_to(b, at(p), 4 * LANES * v), b.fmul(b.sitofp(acc, vec(F32, LANES)), scales[v]))
        with as_bytes:
            for k in range(0, len(sums), 4):
                four = sums[k : k + 4]
                reals = [b.fmul(b.sitofp(acc, vec(F32, LANES)), scales[v]) for _, v, acc in four]
                packed = requantize(b, (reals * 4)[:4], a["zero"], a["low"], a["high"])
                width = LANES * vectors
                for n, p in enumerate(dict.fromkeys(p for p, _, _ in four)):
                    store_at(b, at(p), part(b, packed, n * width, width))


def _dispatcher(vectors, most):
    """A function (P, operands) that runs the micro-kernel of P pixels: a chain of comparisons, made as text for numba."""
    names = {f"k{p}": njit(nogil=True)(_wrap(micro_kernel(p, vectors))) for p in range(1, most + 1)}
    lines = ["def dispatch(p, a):"] + [f"    {'if' if p == 1 else 'elif'} p == {p}: k{p}(a)" for p in range(1, most + 1)]
    scope = dict(names)
    exec("\n".join(lines), scope)  # NOTE: numba cannot index a list of intrinsics; this text is fixed by `most` alone
    return njit(nogil=True)(scope["dispatch"])


def _wrap(run):
    def call(a):
        run(a)

    return call


NARROW_MOST = MOST * VECTORS - (4 if LANES == 16 else 2)
wide, narrow = _dispatcher(VECTORS, MOST), _dispatcher(1, NARROW_MOST)
(X, Y, SCRATCH, W, BIAS, SCALE, N, H, WD, C, X_N, X_H, X_W, Y_N, Y_H, Y_W, G, X_C, KH, KW, SH, SW, DH, DW, RUNS, RUN, Y_F32, ZERO, LOW, HIGH, POST,
 R, R_N, R_H, R_W, R_G, Y_G) = words("conv2d", "x y scratch w bias scale N H W C x_n x_h x_w y_n y_h y_w G x_c KH KW SH SW DH DW runs run y_f32 zero low high "
                           "post r r_n r_h r_w r_g y_g")  # fmt: skip


@kernel("conv2d")
@njit(nogil=True)
def conv2d(i, arena, constants, thread, threads):
    """Work is cut into (image, row) items, or, where rows are few, into output channel blocks: outputs do not depend on it."""
    n, h, wd, groups, oc = load_i64(i + N), load_i64(i + H), load_i64(i + WD), load_i64(i + G), load_i64(i + C)
    steps = (load_i64(i + RUN) + 3) // 4
    kh, runs = load_i64(i + KH), load_i64(i + RUNS)
    padded = (oc + LANES - 1) // LANES * LANES
    channel_bytes = kh * runs * steps * 4
    blocks = (oc + BLOCK - 1) // BLOCK
    f32 = load_i64(i + Y_F32)
    size = 4 if f32 else 1
    rows = n * h
    by_rows = rows >= 2 * threads
    row0, row1 = (rows * thread // threads, rows * (thread + 1) // threads) if by_rows else (0, rows)
    jobs = groups * blocks
    job0, job1 = (0, jobs) if by_rows else (jobs * thread // threads, jobs * (thread + 1) // threads)
    scratch = load_i64(i + SCRATCH) + thread * SCRATCH_BYTES
    x_w, y_w, post, r_w = load_i64(i + X_W) * load_i64(i + SW), load_i64(i + Y_W), load_i64(i + POST), load_i64(i + R_W)
    zero, low, high = load_i64(i + ZERO), load_i64(i + LOW), load_i64(i + HIGH)
    row, tap = load_i64(i + X_H) * load_i64(i + DH), load_i64(i + X_W) * load_i64(i + DW)
    for job in range(job0, job1):
        g, blk = job // blocks, job % blocks
        first = g * padded + blk * BLOCK
        w = load_i64(i + W) + first * channel_bytes
        bias, scale = load_i64(i + BIAS) + first * 4, load_i64(i + SCALE) + first * 4
        valid = min(BLOCK, oc - blk * BLOCK)
        is_narrow = valid <= LANES
        width = LANES if is_narrow else BLOCK
        direct = valid == width and post == 0
        most = NARROW_MOST if is_narrow else MOST
        cuts = (wd + most - 1) // most
        for rr in range(row0, row1):
            image, oh = rr // h, rr % h
            x = load_i64(i + X) + image * load_i64(i + X_N) + oh * load_i64(i + SH) * load_i64(i + X_H) + g * load_i64(i + X_C)
            y = load_i64(i + Y) + image * load_i64(i + Y_N) + oh * load_i64(i + Y_H) + g * load_i64(i + Y_G) + blk * BLOCK * size
            r = load_i64(i + R) + image * load_i64(i + R_N) + oh * load_i64(i + R_H) + g * load_i64(i + R_G) + blk * BLOCK
            for cut in range(cuts):
                o0, o1 = wd * cut // cuts, wd * (cut + 1) // cuts
                xx, yy = x + o0 * x_w, y + o0 * y_w
                target, pitch = (yy, y_w) if direct else (scratch, width * size)
                operands = (xx, w, kh, runs, steps, row, tap, x_w, bias, scale, zero, low, high, target, pitch, f32)
                if is_narrow:
                    narrow(o1 - o0, operands)
                else:
                    wide(o1 - o0, operands)
                if not direct:
                    finish_pixels(i, scratch, pitch, r + o0 * r_w, r_w, yy, y_w, o1 - o0, valid * size, g * oc + blk * BLOCK)
