"""Depthwise convolution: 16 channels at a time, products exact in int16, sums in int32; a last block overlaps the one before."""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..instructions.table import KINDS
from .memory import load_f32, load_i8, load_i32, load_i64, load_u8, rint_f32, store_f32, store_u8
from .table import kernel
from .vector import F32, I8, I16, I32, I64, add_to, clamp, load_at, rint, splat, store_at, vec

CHANNELS = 16
FIELDS = "x w KH KW row tap pix channels bias scale zero low high y y_pix y_f32".split()
SIGNATURE = types.Tuple([types.float32 if n in ("zero", "low", "high") else types.int64 for n in FIELDS])


def micro_kernel(pixels):
    """P pixels x 16 channels; w: [KH, KW, C] bytes, `channels` apart."""

    @intrinsic
    def run(context, operands):
        def generate(ctx, b, sig, args):
            a = dict(zip(FIELDS, cgutils.unpack_tuple(b, args[0])))
            start = load_at(b, a["bias"], vec(I32, CHANNELS))
            acc = [cgutils.alloca_once_value(b, start) for _ in range(pixels)]
            w = cgutils.alloca_once_value(b, a["w"])
            with cgutils.for_range(b, a["KH"]) as kh, cgutils.for_range(b, a["KW"]) as kw:
                base = b.add(a["x"], b.add(b.mul(kh.index, a["row"]), b.mul(kw.index, a["tap"])))
                wa = b.load(w)
                ws = b.sext(load_at(b, wa, vec(I8, CHANNELS)), vec(I16, CHANNELS))
                for p in range(pixels):
                    u = load_at(b, b.add(base, b.mul(a["pix"], ir.Constant(I64, p))), vec(I8, CHANNELS))
                    product = b.mul(b.zext(u, vec(I16, CHANNELS)), ws)
                    b.store(b.add(b.load(acc[p]), b.sext(product, vec(I32, CHANNELS))), acc[p])
                b.store(b.add(wa, a["channels"]), w)
            scale = load_at(b, a["scale"], vec(F32, CHANNELS))
            for p in range(pixels):
                real = b.fmul(b.sitofp(b.load(acc[p]), vec(F32, CHANNELS)), scale)
                at = b.add(a["y"], b.mul(a["y_pix"], ir.Constant(I64, p)))
                with b.if_else(b.icmp_signed("==", a["y_f32"], ir.Constant(I64, 1))) as (as_float, as_bytes):
                    with as_float:
                        store_at(b, add_to(b, at, 0), real)
                    with as_bytes:
                        zero, low, high = (splat(b, a[k], CHANNELS) for k in ("zero", "low", "high"))
                        y = clamp(b, b.fadd(rint(b, real), zero), low, high)
                        store_at(b, at, b.trunc(b.fptosi(y, vec(I32, CHANNELS)), vec(I8, CHANNELS)))
            return ctx.get_dummy_value()

        return types.void(SIGNATURE), generate

    return run


run4, run1 = micro_kernel(4), micro_kernel(1)
K = KINDS["depthwise2d"]
(X, Y, W, BIAS, SCALE, N, H, WD, C, X_N, X_H, X_W, Y_N, Y_H, Y_W, KH, KW, SH, SW, DH, DW, Y_F32, ZERO, LOW, HIGH) = (
    8 * K.index(n) for n in "x y w bias scale N H W C x_n x_h x_w y_n y_h y_w KH KW SH SW DH DW y_f32 f_zero f_low f_high".split()
)


@njit(nogil=True)
def one_channel(x, w, kh, kw, row, tap, channels, bias, scale, zero, low, high, y, f32):
    """A single output of a tensor with fewer than 16 channels."""
    acc = load_i32(bias)
    for r in range(kh):
        for c in range(kw):
            acc += load_u8(x + r * row + c * tap) * load_i8(w + (r * kw + c) * channels)
    real = types.float32(acc) * load_f32(scale)
    if f32:
        store_f32(y, real)
    else:
        store_u8(y, types.int64(min(max(rint_f32(real) + zero, low), high)))


@kernel("depthwise2d")
@njit(nogil=True)
def depthwise2d(i, arena, constants, thread, threads):
    n, h, wd, c = load_i64(i + N), load_i64(i + H), load_i64(i + WD), load_i64(i + C)
    kh, kw, f32 = load_i64(i + KH), load_i64(i + KW), load_i64(i + Y_F32)
    size = 4 if f32 else 1
    pix, y_w = load_i64(i + X_W) * load_i64(i + SW), load_i64(i + Y_W)
    row, tap = load_i64(i + X_H) * load_i64(i + DH), load_i64(i + X_W) * load_i64(i + DW)
    zero, low, high = load_f32(i + ZERO), load_f32(i + LOW), load_f32(i + HIGH)
    w0, bias0, scale0 = load_i64(i + W), load_i64(i + BIAS), load_i64(i + SCALE)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        x = load_i64(i + X) + r // h * load_i64(i + X_N) + r % h * load_i64(i + SH) * load_i64(i + X_H)
        y = load_i64(i + Y) + r // h * load_i64(i + Y_N) + r % h * load_i64(i + Y_H)
        if c < CHANNELS:
            for o in range(wd):
                for k in range(c):
                    one_channel(x + o * pix + k, w0 + k, kh, kw, row, tap, c, bias0 + 4 * k, scale0 + 4 * k, zero, low, high, y + o * y_w + k * size, f32)
            continue
        for block in range((c + CHANNELS - 1) // CHANNELS):
            k = min(block * CHANNELS, c - CHANNELS)
            o = 0
            while o + 4 <= wd:
                run4((x + o * pix + k, w0 + k, kh, kw, row, tap, pix, c, bias0 + 4 * k, scale0 + 4 * k, zero, low, high, y + o * y_w + k * size, y_w, f32))
                o += 4
            while o < wd:
                run1((x + o * pix + k, w0 + k, kh, kw, row, tap, pix, c, bias0 + 4 * k, scale0 + 4 * k, zero, low, high, y + o * y_w + k * size, y_w, f32))
                o += 1
