"""Kernels over rows of adjacent elements: softmax and layer normalization."""

from __future__ import annotations

import math

from numba import njit, types

from .memory import load_f32, load_i32, load_i64, load_u8, rint_f32, store_u8, words
from .table import kernel

f32, i64 = types.float32, types.int64
SX, SY, ST, SH, SC, SXH, SYH, SI, SZ, SL, SHI = words("softmax", "x y table H C x_h y_h f_inverse zero low high")


@kernel("softmax")
@njit(nogil=True)
def softmax(i, arena, constants, thread, threads):
    h, c, table = load_i64(i + SH), load_i64(i + SC), load_i64(i + ST)
    zero, low, high = load_i64(i + SZ), load_i64(i + SL), load_i64(i + SHI)
    for r in range(h * thread // threads, h * (thread + 1) // threads):
        x, y = load_i64(i + SX) + r * load_i64(i + SXH), load_i64(i + SY) + r * load_i64(i + SYH)
        largest = i64(0)
        for k in range(c):
            largest = max(largest, load_u8(x + k))
        total = i64(0)
        for k in range(c):
            total += load_i32(table + 4 * (largest - load_u8(x + k)))
        m = load_f32(i + SI) / f32(total)
        for k in range(c):
            real = rint_f32(f32(load_i32(table + 4 * (largest - load_u8(x + k)))) * m)
            store_u8(y + k, min(max(i64(min(real, f32(1e6))) + zero, low), high))


LX, LY, LG, LS, LH, LC, LXH, LYH, LE, LZ, LL, LHI = words("layer_norm", "x y gain shift H C x_h y_h f_epsilon zero low high")


@kernel("layer_norm")
@njit(nogil=True)
def layer_norm(i, arena, constants, thread, threads):
    h, c, gain, shift = load_i64(i + LH), load_i64(i + LC), load_i64(i + LG), load_i64(i + LS)
    zero, low, high = load_i64(i + LZ), load_i64(i + LL), load_i64(i + LHI)
    for r in range(h * thread // threads, h * (thread + 1) // threads):
        x, y = load_i64(i + LX) + r * load_i64(i + LXH), load_i64(i + LY) + r * load_i64(i + LYH)
        s1, s2 = i64(0), i64(0)
        for k in range(c):
            q = load_u8(x + k)
            s1 += q
            s2 += q * q
        inverse = f32(1) / f32(math.sqrt(f32(c * s2 - s1 * s1) + load_f32(i + LE)))
        for k in range(c):
            real = f32(c * load_u8(x + k) - s1) * inverse * load_f32(gain + 4 * k) + load_f32(shift + 4 * k)
            real = rint_f32(min(max(real, f32(-1e6)), f32(1e6)))
            store_u8(y + k, min(max(i64(real) + zero, low), high))
