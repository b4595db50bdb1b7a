"""Bilinear samples in the cells of regions of an image, averaged or their maxima: reference/float_regions.py, operation
by operation."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..reference.float_sums import BLOCK
from .corners import LANES
from .fused import F64
from .jit import njit
from .memory import fill, load_f32, load_i64, store_f32, store_i64
from .split import part_of, scratch_of
from .vector import F32, I64, const, load_at, splat, store_at, vec
from .vector_loops import store_first

i64 = types.int64
ONE, HALF, ZERO = np.float32(1), np.float32(0.5), np.float32(0)
AXIS = 32  # bytes of an axis' two taps: indices, then weights
PLACES, WEIGHTS, TOTALS = 2 * AXIS, 3 * AXIS, 4 * AXIS  # of the four corners; float64 sums of blocks
CHANNELS = 1024  # whose sums are kept at once
MOST = np.float32(65536)  # samples along a side of a cell; the reference takes regions with more


def offset(b, k, size):
    return b.mul(k, ir.Constant(I64, size))


@intrinsic
def sample(context, taps, y, k, count, largest):
    """Add the sum of four weighted corners to `count` floats of y from the k-th on, at most a vector of them; or keep
    the largest of them and y."""

    def generate(ctx, b, sig, args):
        taps, y, k, count, largest = args
        t, at = vec(F32, LANES), offset(b, k, 4)
        terms = []
        for corner in range(4):
            row = load_at(b, b.add(taps, ir.Constant(I64, PLACES + 8 * corner)), I64)
            weight = load_at(b, b.add(taps, ir.Constant(I64, WEIGHTS + 4 * corner)), F32)
            terms.append(b.fmul(load_at(b, b.add(row, at), t), splat(b, weight, LANES)))
        before = load_at(b, b.add(y, at), t)
        total, best = const(t, 0.0), before
        for term in terms:
            total = b.fadd(total, term)
            best = b.select(
                b.fcmp_unordered("uno", best, best), best, b.select(b.fcmp_unordered(">=", term, best), term, best)
            )
        wanted = b.icmp_signed("!=", largest, ir.Constant(I64, 0))
        found = b.select(wanted, best, b.fadd(before, total))
        store_first(b, b.add(y, at), found, offset(b, count, 4))
        return ctx.get_dummy_value()

    return types.void(*[i64] * 5), generate


@intrinsic
def end_block(context, y, totals, k, count, last):
    """Move a vector of y to its float64 totals; in the end the totals, rounded, to y."""

    def generate(ctx, b, sig, args):
        y, totals, k, count, last = args
        t, wide = vec(F32, LANES), vec(F64, LANES)
        at, there = b.add(y, offset(b, k, 4)), b.add(totals, offset(b, k, 8))
        total = b.fadd(load_at(b, there, wide), b.fpext(load_at(b, at, t), wide))
        store_at(b, there, total)
        ended = b.icmp_signed("!=", last, ir.Constant(I64, 0))
        store_first(b, at, b.select(ended, b.fptrunc(total, t), const(t, 0.0)), offset(b, count, 4))
        return ctx.get_dummy_value()

    return types.void(*[i64] * 5), generate


@intrinsic
def divide(context, y, k, count, divisor):
    def generate(ctx, b, sig, args):
        y, k, count, divisor = args
        at = b.add(y, offset(b, k, 4))
        quotient = b.fdiv(load_at(b, at, vec(F32, LANES)), splat(b, divisor, LANES))
        store_first(b, at, quotient, offset(b, count, 4))
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, types.float32), generate


@njit(nogil=True)
def samples(size, ratio, fault):
    """Samples along a side of a cell of this size; 0 and a note where there are too many."""
    if ratio > 0:
        return ratio
    if not (size <= MOST):
        store_i64(fault, 1)
        return 0
    if size <= 0:
        return 0
    full = np.int64(size)
    return full + 1 if np.float32(full) < size else full


@njit(nogil=True)
def taps_of(taps, at, size):
    """The two neighbours of a coordinate, and their weights."""
    within = ONE if at >= -ONE and at <= np.float32(size) else ZERO
    kept = at if within != ZERO else ZERO
    kept = kept if kept > ZERO else ZERO
    low = min(np.int64(kept), size - 1)
    fraction = ZERO if low >= size - 1 else kept - np.float32(low)
    if at != at:
        fraction = at
    store_i64(taps, low)
    store_i64(taps + 8, min(low + 1, size - 1))
    store_f32(taps + 16, (ONE - fraction) * within)
    store_f32(taps + 20, fraction * within)


@njit(nogil=True)
def corners_of(taps, x, x_h, x_w):
    for k in range(4):
        r, c = k >> 1, k & 1
        place = x + load_i64(taps + 8 * r) * x_h + load_i64(taps + AXIS + 8 * c) * x_w
        store_i64(taps + PLACES + 8 * k, place)
        weight = load_f32(taps + 16 + 4 * r) * load_f32(taps + AXIS + 16 + 4 * c)
        store_f32(taps + WEIGHTS + 4 * k, weight)


@njit(nogil=True)
def at_sample(start, size, cell, k, count):
    """The coordinate of sample k of a cell of a side."""
    return (start + np.float32(cell) * size) + (np.float32(k) + HALF) * size / np.float32(count)


@njit(nogil=True)
def cell(i, taps, x, y, c, top, left, height, width, row, column, tall, wide):
    """Up to CHANNELS channels of one cell; tall, wide: samples along its sides."""
    count = tall * wide
    blocks = count // BLOCK
    fill(y, 0, 4 * c)
    if blocks > 0:
        fill(taps + TOTALS, 0, 8 * CHANNELS)
    for n in range(count):
        taps_of(taps, at_sample(top, height, row, n // wide, tall), i.IH)
        taps_of(taps + AXIS, at_sample(left, width, column, n % wide, wide), i.IW)
        corners_of(taps, x, i.x_h, i.x_w)
        if i.largest and n == 0:
            for k in range(c):
                store_f32(y + 4 * k, -np.float32(np.inf))
        for k in range(0, c, LANES):
            sample(taps, y, k, c - k, i.largest)
        if blocks > 0 and not i.largest and (n + 1) % BLOCK == 0:
            for k in range(0, c, LANES):
                end_block(y, taps + TOTALS, k, c - k, 0)
    if i.largest:
        return
    for k in range(0, c, LANES):
        if blocks > 0:
            end_block(y, taps + TOTALS, k, c - k, 1)
        divide(y, k, c - k, np.float32(max(1, count)))


@njit(nogil=True)
def image_of(i, r):
    """The image of a region; the first and a note where there is none, or the region lies nowhere."""
    image = load_i64(i.batch + 8 * r)
    for k in range(4):
        v = load_f32(i.roi + 16 * r + 4 * k)
        if v - v != 0:
            store_i64(i.fault, 1)
    if image < 0 or image >= i.S0:
        store_i64(i.fault, 1)
        return 0
    return image


@njit(nogil=True)
def float_roi_align(i, share):
    h, w, c, ratio, scale = i.H, i.W, i.C, i.ratio, i.f_ratio
    taps = scratch_of(i, share)
    first, end = part_of(share, i.N * h)
    shift = HALF if i.half else ZERO
    for r in range(first, end):
        roi, row = i.roi + 16 * (r // h), r % h
        x = i.x + image_of(i, r // h) * i.x_n
        left, top = load_f32(roi) * scale - shift, load_f32(roi + 4) * scale - shift
        width, height = load_f32(roi + 8) * scale - shift - left, load_f32(roi + 12) * scale - shift - top
        if not i.half:
            width, height = ONE if width < ONE else width, ONE if height < ONE else height
        height, width = height / np.float32(h), width / np.float32(w)
        tall, wide = samples(height, ratio, i.fault), samples(width, ratio, i.fault)
        y = i.y + r // h * i.y_n + row * i.y_h
        for column in range(w):
            for k in range(0, c, CHANNELS):
                part = min(CHANNELS, c - k)
                cell(i, taps, x + 4 * k, y + 4 * k, part, top, left, height, width, row, column, tall, wide)
            y += i.y_w
