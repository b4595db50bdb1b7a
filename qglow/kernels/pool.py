"""Pools over channels-last bytes."""

from __future__ import annotations

from numba import njit, types
from numba.extending import intrinsic

from .elementwise import words
from .memory import load_f32, load_i64, load_u8, rint_f32, store_f32, store_u8
from .table import kernel
from .vector import I8, load_at, store_at, vec

f32, i64 = types.float32, types.int64
STEP = 16
NAMES = "x y N H W C x_n x_h x_w y_n y_h y_w KH KW SH SW DH DW"
X, Y, N, H, W, C, XN, XH, XW, YN, YH, YW, KH, KW, SH, SW, DH, DW = words("max_pool2d", NAMES)


@intrinsic
def max_step(context, x, y):
    """y = max(x, y) of 16 bytes."""

    def generate(ctx, b, sig, args):
        u, v = load_at(b, args[0], vec(I8, STEP)), load_at(b, args[1], vec(I8, STEP))
        store_at(b, args[1], b.select(b.icmp_unsigned(">", u, v), u, v))
        return ctx.get_dummy_value()

    return types.void(i64, i64), generate


@intrinsic
def copy_step(context, x, y):
    """y = x of 16 bytes."""

    def generate(ctx, b, sig, args):
        store_at(b, args[1], load_at(b, args[0], vec(I8, STEP)))
        return ctx.get_dummy_value()

    return types.void(i64, i64), generate


@kernel("max_pool2d")
@njit(nogil=True)
def max_pool2d(i, arena, constants, thread, threads):
    n, h, w, c, kh, kw = load_i64(i + N), load_i64(i + H), load_i64(i + W), load_i64(i + C), load_i64(i + KH), load_i64(i + KW)
    row, tap = load_i64(i + XH) * load_i64(i + DH), load_i64(i + XW) * load_i64(i + DW)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        for col in range(w):
            x = load_i64(i + X) + r // h * load_i64(i + XN) + r % h * load_i64(i + SH) * load_i64(i + XH) + col * load_i64(i + SW) * load_i64(i + XW)
            y = load_i64(i + Y) + r // h * load_i64(i + YN) + r % h * load_i64(i + YH) + col * load_i64(i + YW)
            k = 0
            while k + STEP <= c:
                copy_step(x + k, y + k)
                for a in range(kh):
                    for b in range(kw):
                        max_step(x + a * row + b * tap + k, y + k)
                k += STEP
            while k < c:
                best = 0
                for a in range(kh):
                    for b in range(kw):
                        best = max(best, load_u8(x + a * row + b * tap + k))
                store_u8(y + k, best)
                k += 1


(AX, AY, AN, AH, AW, AC, AXN, AXH, AXW, AYN, AYH, AYW, AKH, AKW, ASH, ASW, ADH, ADW) = words("avg_pool2d", NAMES)
IH, IW, TOP, LEFT, INCLUDE, XZ, RATIO, Z, LO, HI, YF = words("avg_pool2d", "IH IW top left include x_zero f_ratio f_zero f_low f_high y_f32")


@kernel("avg_pool2d")
@njit(nogil=True)
def avg_pool2d(i, arena, constants, thread, threads):
    """x points to the first pixel of the unpadded image. Work is cut by output row, or by channel where there are few rows."""
    n, h, w, c, kh, kw = load_i64(i + AN), load_i64(i + AH), load_i64(i + AW), load_i64(i + AC), load_i64(i + AKH), load_i64(i + AKW)
    ih, iw, xz, as_float = load_i64(i + IH), load_i64(i + IW), load_i64(i + XZ), load_i64(i + YF)
    ratio, z, lo, hi = load_f32(i + RATIO), load_f32(i + Z), load_f32(i + LO), load_f32(i + HI)
    for item in range(n * h * w * thread // threads, n * h * w * (thread + 1) // threads):
        image, rest = item // (h * w), item % (h * w)
        oh, ow = rest // w, rest % w
        x0 = load_i64(i + AX) + image * load_i64(i + AXN)
        y = load_i64(i + AY) + image * load_i64(i + AYN) + oh * load_i64(i + AYH) + ow * load_i64(i + AYW)
        top, left = oh * load_i64(i + ASH) - load_i64(i + TOP), ow * load_i64(i + ASW) - load_i64(i + LEFT)
        count = kh * kw
        if load_i64(i + INCLUDE) == 0:
            count = 0
            for a in range(kh):
                for b in range(kw):
                    if 0 <= top + a * load_i64(i + ADH) < ih and 0 <= left + b * load_i64(i + ADW) < iw:
                        count += 1
        m = ratio / f32(count)
        for k in range(c):
            acc = 0
            for a in range(kh):
                r = top + a * load_i64(i + ADH)
                if r < 0 or r >= ih:
                    continue
                for b in range(kw):
                    q = left + b * load_i64(i + ADW)
                    if q >= 0 and q < iw:
                        acc += load_u8(x0 + r * load_i64(i + AXH) + q * load_i64(i + AXW) + k) - xz
            real = f32(acc) * m
            if as_float:
                store_f32(y + 4 * k, real)
            else:
                store_u8(y + k, i64(min(max(rint_f32(real) + z, lo), hi)))
