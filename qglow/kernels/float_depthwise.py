"""Float depthwise convolution: some pixels of a vector of channels in registers over all taps, in the law's order."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .float_conv import limited, limits_of
from .fused import HARDWARE_FMA, fma
from .jit import njit
from .memory import load_i64, words
from .table import kernel
from .target import ISA
from .vector import F32, I64, add_to, load_at, store_at, vec
from .vector_loops import store_some

LANES = ISA.lanes
FIELDS = "x w KH KW row tap pix bias y y_pix i count".split()
SIGNATURE = types.Tuple([types.int64] * len(FIELDS))
ACT, LOW, HIGH = words("float_depthwise2d", "act f_low f_high")


def micro_kernel(pixels, partial, unrolled=0):
    """P pixels x LANES channels, of which `count` are stored where partial. unrolled: columns of a kernel row, known, or 0."""

    @intrinsic
    def run(context, operands):
        def generate(ctx, b, sig, args):
            a = dict(zip(FIELDS, cgutils.unpack_tuple(b, args[0])))
            t = vec(F32, LANES)
            start = load_at(b, a["bias"], t)
            acc = [cgutils.alloca_once_value(b, start) for _ in range(pixels)]
            for x in acc:
                b.store(start, x)
            w = cgutils.alloca_once_value(b, a["w"])
            b.store(a["w"], w)

            def step(at, k):
                weights = load_at(b, add_to(b, b.load(w), 4 * LANES * k), t)
                for p in range(pixels):
                    x = load_at(b, b.add(at, b.mul(a["pix"], ir.Constant(I64, p))), t)
                    b.store(fma(b, x, weights, b.load(acc[p])), acc[p])

            with cgutils.for_range(b, a["KH"]) as kh:
                line = b.add(a["x"], b.mul(kh.index, a["row"]))
                if unrolled:
                    for k in range(unrolled):
                        step(b.add(line, b.mul(a["tap"], ir.Constant(I64, k))), k)
                    b.store(add_to(b, b.load(w), 4 * LANES * unrolled), w)
                else:
                    with cgutils.for_range(b, a["KW"]) as k:
                        step(b.add(line, b.mul(k.index, a["tap"])), 0)
                        b.store(add_to(b, b.load(w), 4 * LANES), w)
            low, high = limits_of(b, a["i"], ACT, LOW, HIGH)
            for p in range(pixels):
                y, value = b.add(a["y"], b.mul(a["y_pix"], ir.Constant(I64, p))), limited(b, b.load(acc[p]), low, high)
                if partial:
                    store_some(b, y, value, b.shl(a["count"], ir.Constant(I64, 2)))
                else:
                    store_at(b, y, value)
            return ctx.get_dummy_value()

        return types.void(SIGNATURE), generate

    return run


PIXELS = 8 if HARDWARE_FMA else 2
three, many, one, some = micro_kernel(PIXELS, False, 3), micro_kernel(PIXELS, False), micro_kernel(1, False), micro_kernel(1, True)
(X, Y, W, BIAS, N, H, WD, C, X_N, X_H, X_W, Y_N, Y_H, Y_W, KH, KW, SH, SW, DH, DW) = words(
    "float_depthwise2d", "x y w bias N H W C x_n x_h x_w y_n y_h y_w KH KW SH SW DH DW")  # fmt: skip


@kernel("float_depthwise2d")
@njit(nogil=True)
def float_depthwise2d(i, arena, constants, thread, threads):
    n, h, wd, c = load_i64(i + N), load_i64(i + H), load_i64(i + WD), load_i64(i + C)
    kh, kw = load_i64(i + KH), load_i64(i + KW)
    pix, y_w = load_i64(i + X_W) * load_i64(i + SW), load_i64(i + Y_W)
    row, tap = load_i64(i + X_H) * load_i64(i + DH), load_i64(i + X_W) * load_i64(i + DW)
    blocks = (c + LANES - 1) // LANES
    block_bytes = kh * kw * LANES * 4
    for rr in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        x = load_i64(i + X) + rr // h * load_i64(i + X_N) + rr % h * load_i64(i + SH) * load_i64(i + X_H)
        y = load_i64(i + Y) + rr // h * load_i64(i + Y_N) + rr % h * load_i64(i + Y_H)
        for block in range(blocks):
            k = block * LANES
            w, bias = load_i64(i + W) + block * block_bytes, load_i64(i + BIAS) + k * 4
            o, count = 0, min(LANES, c - k)
            while o < wd:
                whole = wd >= PIXELS and count == LANES
                if whole and o + PIXELS > wd:
                    o = wd - PIXELS  # some pixels once more
                operands = (x + o * pix + k * 4, w, kh, kw, row, tap, pix, bias, y + o * y_w + k * 4, y_w, i, count)
                if count < LANES:
                    some(operands)
                    o += 1
                elif not whole:
                    one(operands)
                    o += 1
                elif kw == 3:
                    three(operands)
                    o += PIXELS
                else:
                    many(operands)
                    o += PIXELS
