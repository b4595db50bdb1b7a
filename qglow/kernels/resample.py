"""Linear resampling of channels-last bytes, in integers."""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from .jit import njit
from .memory import load_f32, load_i32, load_i64, words
from .table import kernel
from .target import ISA
from .vector import F32, I32, part, requantize, splat, vec, widened
from .vector_loops import store_first

f32, i64 = types.float32, types.int64
LANES = ISA.lanes
X, Y, N, H, W, C, XN, XH, XW, YN, YH, YW = words("resize_linear", "x y N H W C x_n x_h x_w y_n y_h y_w")
ROWS, COLUMNS, ONE_H, ONE_W, XZ, M, Z, LO, HI = words("resize_linear", "rows columns one_h one_w x_zero f_m zero low high")


@intrinsic
def blend(context, x00, x01, x10, x11, w00, w01, w10, w11, x_zero, m, zero, low, high, y, count):
    """Four taps of LANES channels, weighted and requantized; the first `count` are stored. The weights' sum times x_zero is taken off."""

    def generate(ctx, b, sig, args):
        taps, weights, (x_zero, m, zero, low, high, y, count) = args[:4], args[4:8], args[8:]
        total = None
        for x, w in zip(taps, weights):
            q = b.sub(widened(b, x, LANES), splat(b, b.trunc(x_zero, I32), LANES))
            term = b.mul(q, splat(b, b.trunc(w, I32), LANES))
            total = term if total is None else b.add(total, term)
        real = b.fmul(b.sitofp(total, vec(F32, LANES)), splat(b, m, LANES))
        packed = part(b, requantize(b, [real] * 4, zero, low, high), 0, LANES)
        store_first(b, y, packed, count)
        return ctx.get_dummy_value()

    return types.void(*[i64] * 9, f32, *[i64] * 5), generate


@kernel("resize_linear")
@njit(nogil=True)
def resize_linear(i, arena, constants, thread, threads):
    n, h, w, c = load_i64(i + N), load_i64(i + H), load_i64(i + W), load_i64(i + C)
    one_h, one_w, xz, m = load_i64(i + ONE_H), load_i64(i + ONE_W), load_i64(i + XZ), load_f32(i + M)
    zero, low, high = load_i64(i + Z), load_i64(i + LO), load_i64(i + HI)
    rows, columns, x_w = load_i64(i + ROWS), load_i64(i + COLUMNS), load_i64(i + XW)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        image, oh = load_i64(i + X) + r // h * load_i64(i + XN), r % h
        top = image + load_i32(rows + 4 * oh) * load_i64(i + XH)
        bottom = image + load_i32(rows + 4 * (h + oh)) * load_i64(i + XH)
        v = load_i32(rows + 4 * (2 * h + oh))
        y = load_i64(i + Y) + r // h * load_i64(i + YN) + oh * load_i64(i + YH)
        for ow in range(w):
            left, right = load_i32(columns + 4 * ow) * x_w, load_i32(columns + 4 * (w + ow)) * x_w
            u = load_i32(columns + 4 * (2 * w + ow))
            w00, w01, w10, w11 = (one_h - v) * (one_w - u), (one_h - v) * u, v * (one_w - u), v * u
            for k in range(0, c, LANES):
                blend(
                    top + left + k,
                    top + right + k,
                    bottom + left + k,
                    bottom + right + k,
                    w00,
                    w01,
                    w10,
                    w11,
                    xz,
                    m,
                    zero,
                    low,
                    high,
                    y + k,
                    c - k,
                )
            y += load_i64(i + YW)
