"""Convolutions and matrix products: u8 pixels times packed s8 weights, with the requantization in the epilogue.

A micro-kernel keeps P pixels of one row times `vectors * lanes` output channels in registers over all taps. There is one for
each P up to the set's limit, so that a row is cut into blocks of nearly equal size and none is left with a short tail.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..instructions.table import KINDS
from .memory import copy_bytes, load_f32, load_i64
from .table import kernel
from .target import HARDWARE_DOT, ISA
from .vector import F32, I8, I32, I64, add_to, clamp, dot4, load_at, rint, splat, store_at, vec, vpdpbusd

LANES, VECTORS, MOST = ISA.lanes, ISA.vectors, ISA.pixels
BLOCK = LANES * VECTORS
FIELDS = "x w KH runs steps row tap pix bias scale zero low high y y_pix y_f32".split()
SIGNATURE = types.Tuple([types.float32 if n in ("zero", "low", "high") else types.int64 for n in FIELDS])


def _epilogue(b, a, acc, p, v):
    scale = load_at(b, add_to(b, a["scale"], 4 * LANES * v), vec(F32, LANES))
    real = b.fmul(b.sitofp(acc, vec(F32, LANES)), scale)
    at = b.add(a["y"], b.mul(a["y_pix"], ir.Constant(I64, p)))
    with b.if_else(b.icmp_signed("==", a["y_f32"], ir.Constant(I64, 1))) as (as_float, as_bytes):
        with as_float:
            store_at(b, add_to(b, at, 4 * LANES * v), real)
        with as_bytes:
            zero, low, high = (splat(b, a[k], LANES) for k in ("zero", "low", "high"))
            y = clamp(b, b.fadd(rint(b, real), zero), low, high)
            store_at(b, add_to(b, at, LANES * v), b.trunc(b.fptosi(y, vec(I32, LANES)), vec(I8, LANES)))


def micro_kernel(pixels):
    """P pixels x BLOCK output channels; operands as one tuple in the order of FIELDS."""
    dot = vpdpbusd if HARDWARE_DOT else dot4

    @intrinsic
    def run(context, operands):
        def generate(ctx, b, sig, args):
            a = dict(zip(FIELDS, cgutils.unpack_tuple(b, args[0])))
            start = [load_at(b, add_to(b, a["bias"], 4 * LANES * v), vec(I32, LANES)) for v in range(VECTORS)]
            acc = [[cgutils.alloca_once_value(b, start[v]) for v in range(VECTORS)] for _ in range(pixels)]
            w = cgutils.alloca_once_value(b, a["w"])
            with cgutils.for_range(b, a["KH"]) as kh, cgutils.for_range(b, a["runs"]) as r:
                base = b.add(a["x"], b.add(b.mul(kh.index, a["row"]), b.mul(r.index, a["tap"])))
                with cgutils.for_range(b, a["steps"]) as step:
                    at, wa = b.add(base, b.shl(step.index, ir.Constant(I64, 2))), b.load(w)
                    ws = [load_at(b, add_to(b, wa, 4 * LANES * v), vec(I8, 4 * LANES)) for v in range(VECTORS)]
                    for p in range(pixels):
                        u = b.bitcast(splat(b, load_at(b, b.add(at, b.mul(a["pix"], ir.Constant(I64, p))), I32), LANES), vec(I8, 4 * LANES))
                        for v in range(VECTORS):
                            b.store(dot(b, b.load(acc[p][v]), u, ws[v]), acc[p][v])
                    b.store(add_to(b, wa, 4 * BLOCK), w)
            for p in range(pixels):
                for v in range(VECTORS):
                    _epilogue(b, a, b.load(acc[p][v]), p, v)
            return ctx.get_dummy_value()

        return types.void(SIGNATURE), generate

    return run


def _dispatcher():
    """A function (P, operands) that runs the micro-kernel of P pixels: a chain of comparisons, made as text for numba."""
    names = {f"k{p}": njit(nogil=True)(_wrap(micro_kernel(p))) for p in range(1, MOST + 1)}
    lines = ["def dispatch(p, a):"] + [f"    {'if' if p == 1 else 'elif'} p == {p}: k{p}(a)" for p in range(1, MOST + 1)]
    scope = dict(names)
    exec("\n".join(lines), scope)  # NOTE: numba cannot index a list of intrinsics; this text is fixed by MOST alone
    return njit(nogil=True)(scope["dispatch"])


def _wrap(run):
    def call(a):
        run(a)

    return call


dispatch = _dispatcher()
K = KINDS["conv2d"]
(X, Y, SCRATCH, W, BIAS, SCALE, N, H, WD, C, X_N, X_H, X_W, Y_N, Y_H, Y_W, G, X_C, KH, KW, SH, SW, DH, DW, RUNS, RUN, Y_F32, ZERO, LOW, HIGH) = (
    8 * K.index(n)
    for n in "x y scratch w bias scale N H W C x_n x_h x_w y_n y_h y_w G x_c KH KW SH SW DH DW runs run y_f32 f_zero f_low f_high".split()
)
SCRATCH_BYTES = 16384


@njit(nogil=True)
def store_tail(target, source, pixels, y_pix, step, count):
    for p in range(pixels):
        copy_bytes(target + p * y_pix, source + p * step, count)


@kernel("conv2d")
@njit(nogil=True)
def conv2d(i, arena, constants, thread, threads):
    """Work is cut into (image, row) items, or, where rows are few, into output channel blocks: outputs do not depend on it."""
    n, h, wd, groups, oc = load_i64(i + N), load_i64(i + H), load_i64(i + WD), load_i64(i + G), load_i64(i + C)
    steps = (load_i64(i + RUN) + 3) // 4
    kh, runs = load_i64(i + KH), load_i64(i + RUNS)
    block_bytes = kh * runs * steps * 4 * BLOCK
    blocks = (oc + BLOCK - 1) // BLOCK
    f32 = load_i64(i + Y_F32)
    size = 4 if f32 else 1
    cuts = (wd + MOST - 1) // MOST
    rows = n * h
    by_rows = rows >= 2 * threads
    row0, row1 = (rows * thread // threads, rows * (thread + 1) // threads) if by_rows else (0, rows)
    jobs = groups * blocks
    job0, job1 = (0, jobs) if by_rows else (jobs * thread // threads, jobs * (thread + 1) // threads)
    scratch = load_i64(i + SCRATCH) + thread * SCRATCH_BYTES
    x_w, y_w = load_i64(i + X_W) * load_i64(i + SW), load_i64(i + Y_W)
    zero, low, high = load_f32(i + ZERO), load_f32(i + LOW), load_f32(i + HIGH)
    row, tap = load_i64(i + X_H) * load_i64(i + DH), load_i64(i + X_W) * load_i64(i + DW)
    for job in range(job0, job1):
        g, blk = job // blocks, job % blocks
        w = load_i64(i + W) + job * block_bytes
        bias, scale = load_i64(i + BIAS) + job * BLOCK * 4, load_i64(i + SCALE) + job * BLOCK * 4
        valid = min(BLOCK, oc - blk * BLOCK)
        for r in range(row0, row1):
            image, oh = r // h, r % h
            x = load_i64(i + X) + image * load_i64(i + X_N) + oh * load_i64(i + SH) * load_i64(i + X_H) + g * load_i64(i + X_C)
            y = load_i64(i + Y) + image * load_i64(i + Y_N) + oh * load_i64(i + Y_H) + (g * oc + blk * BLOCK) * size
            for cut in range(cuts):
                o0, o1 = wd * cut // cuts, wd * (cut + 1) // cuts
                xx, yy = x + o0 * x_w, y + o0 * y_w
                if valid == BLOCK:
                    dispatch(o1 - o0, (xx, w, kh, runs, steps, row, tap, x_w, bias, scale, zero, low, high, yy, y_w, f32))
                else:
                    dispatch(o1 - o0, (xx, w, kh, runs, steps, row, tap, x_w, bias, scale, zero, low, high, scratch, BLOCK * size, f32))
                    store_tail(yy, scratch, o1 - o0, y_w, BLOCK * size, valid * size)
