"""Weights of a product of two tensors: a u8 matrix in the order of a convolution's packed weights, made anew in each run."""

from __future__ import annotations

from numba import njit

from .memory import load_i64, load_u8, store_i32, store_u8, words
from .table import kernel
from .target import ISA

LANES, VECTORS = ISA.lanes, ISA.vectors
STEP = 64 if ISA.name == "amx" else 4
NARROW = ISA.name != "amx"
X, Y, BIAS, G, K, C, X_G, X_K, X_C, Y_G, X_ZERO = words("pack", "x y bias G K C x_g x_k x_c y_g x_zero")


@kernel("pack")
@njit(nogil=True)
def pack(i, arena, constants, thread, threads):
    """One block of output channels after the other; a block's weights lie as [steps, vectors, STEP / 4, lanes, 4], its bias as [channels]."""
    groups, k, c, zero = load_i64(i + G), load_i64(i + K), load_i64(i + C), load_i64(i + X_ZERO)
    x_k, x_c = load_i64(i + X_K), load_i64(i + X_C)
    multiple = LANES if NARROW else LANES * VECTORS
    padded, steps = (c + multiple - 1) // multiple * multiple, (k + STEP - 1) // STEP
    vectors_of_all = padded // LANES
    for job in range(groups * vectors_of_all * thread // threads, groups * vectors_of_all * (thread + 1) // threads):
        g, v = job // vectors_of_all, job % vectors_of_all
        block, within = v // VECTORS, v % VECTORS
        vectors = min(VECTORS, vectors_of_all - block * VECTORS)
        start = load_i64(i + Y) + g * load_i64(i + Y_G) + block * VECTORS * LANES * steps * STEP + within * LANES * STEP
        for lane in range(LANES):
            channel = v * LANES + lane
            x = load_i64(i + X) + g * load_i64(i + X_G) + channel * x_c
            total = 0
            for s in range(steps):
                y = start + s * vectors * LANES * STEP + lane * 4
                for t in range(STEP):
                    at = s * STEP + t
                    value = 0
                    if channel < c and at < k:
                        value = load_u8(x + at * x_k) - 128
                    total += value
                    store_u8(y + t // 4 * LANES * 4 + t % 4, value)
            store_i32(load_i64(i + BIAS) + (g * padded + channel) * 4, -zero * total)
