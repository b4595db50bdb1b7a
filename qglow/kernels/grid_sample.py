"""Images read at the points of a grid: reference/float_grid.py, operation by operation.

A tap is an index along an axis and its weight. Taps lie in scratch memory: for each axis up to 4 indices and weights,
then for all pairs of them addresses and weights.
"""

from __future__ import annotations

import numpy as np

from .corners import LANES, floor, weighted_rows
from .jit import njit
from .memory import load_f32, load_i64, rint_f32, store_f32, store_i64
from .split import part_of, scratch_of

NEAREST, LINEAR, CUBIC = 0, 1, 2
ZEROS, BORDER, REFLECTION = 0, 1, 2
AXIS, PAIRS = 64, 128  # bytes of an axis' taps, and of addresses of pairs
ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)
NOWHERE = np.float32(2.0**62)
NEAR, LEAST, FAR, FIVE, EIGHT, FOUR = (np.float32(v) for v in (1.25, 2.25, -0.75, -3.75, -6.0, -3.0))
TURNS = 2.0**51  # from which on a coordinate has no place within the image
ROUNDED = 6755399441055744.0  # a float64 plus this, less this, is rounded to whole numbers, ties to even


@njit(nogil=True)
def pixel(g, size, corners):
    """The pixel coordinate of a grid coordinate."""
    s = np.float32(size)
    at = (g + ONE) / TWO * np.float32(size - 1) if corners else ((g + ONE) * s - ONE) / TWO
    if abs(at) < NOWHERE:
        return at
    return ZERO if corners else -ONE / TWO


@njit(nogil=True)
def limited(at, low, high):
    if at < low:
        return low
    return high if at > high else at


@njit(nogil=True)
def reflected(at, size, corners):
    """A float64 coordinate reflected at the border, as often as it takes."""
    low = 0.0 if corners else -0.5
    high = size - 1.0 if corners else size - 0.5
    span = high - low
    if span <= 0:
        return 0.0
    beyond = at - low
    turns = beyond / (2 * span)
    if not abs(turns) < TURNS:
        return limited(low + (at - at), low, high)
    full = np.float64(np.int64(turns))
    if full > turns:
        full -= 1.0
    beyond = beyond - full * (2 * span)
    other = 2 * span - beyond
    return limited(low + (other if other < beyond else beyond), low, high)


@njit(nogil=True)
def inside(at, size, padding, corners):
    if padding == BORDER:
        return limited(at, np.float32(0), np.float32(size - 1))
    low = np.float32(0) if corners else np.float32(-0.5)
    high = np.float32(size - 1.0 if corners else size - 0.5)
    if high - low <= 0:
        return np.float32(0)
    return limited(np.float32(reflected(np.float64(at), size, corners)), low, high)


@njit(nogil=True)
def tap(taps, k, index, weight, size, padding, corners):
    """Keep a tap: its index within the image, -1 where it is none."""
    place = np.float64(index)
    if padding == REFLECTION:
        place = (reflected(place, size, corners) + ROUNDED) - ROUNDED
    if padding == ZEROS and not (0.0 <= place < size):
        place = -1.0
    else:
        place = limited(place, 0.0, size - 1.0)
    store_i64(taps + 8 * k, np.int64(place))
    store_f32(taps + 32 + 4 * k, weight)


@njit(nogil=True)
def near(s):
    return ((NEAR * s - LEAST) * s) * s + ONE


@njit(nogil=True)
def far(s):
    return ((FAR * s - FIVE) * s + EIGHT) * s - FOUR


@njit(nogil=True)
def taps_of(taps, g, size, mode, padding, corners):
    """The taps of a grid coordinate; their number."""
    at = pixel(g, size, corners)
    if mode != CUBIC and padding != ZEROS:
        at = inside(at, size, padding, corners)
    if mode == NEAREST:
        tap(taps, 0, rint_f32(at), ONE, size, padding, corners)
        return 1
    low = floor(at)
    t = at - low
    if mode == LINEAR:
        tap(taps, 0, low, ONE - t, size, padding, corners)
        tap(taps, 1, low + ONE, t, size, padding, corners)
        return 2
    tap(taps, 0, low - ONE, far(t + ONE), size, padding, corners)
    tap(taps, 1, low, near(t), size, padding, corners)
    tap(taps, 2, low + ONE, near(ONE - t), size, padding, corners)
    tap(taps, 3, low + TWO, far(TWO - t), size, padding, corners)
    return 4


@njit(nogil=True)
def pairs(taps, count, x, x_h, x_w):
    """Addresses and weights of the pairs of taps of rows and columns that lie within the image."""
    found = 0
    for r in range(count):
        for c in range(count):
            row, column = load_i64(taps + 8 * r), load_i64(taps + AXIS + 8 * c)
            weight = load_f32(taps + 32 + 4 * r) * load_f32(taps + AXIS + 32 + 4 * c)
            if row >= 0 and column >= 0:
                store_i64(taps + 2 * AXIS + 8 * found, x + row * x_h + column * x_w)
                store_f32(taps + 2 * AXIS + PAIRS + 4 * found, weight)
                found += 1
    return found


@njit(nogil=True)
def float_grid_sample(i, share):
    h, w, c, mode, padding, corners = i.H, i.W, i.C, i.mode, i.padding, i.corners
    taps = scratch_of(i, share)
    first, end = part_of(share, i.N * h)
    for r in range(first, end):
        grid, y = i.grid + r // h * i.g_n + r % h * i.g_h, i.y + r // h * i.y_n + r % h * i.y_h
        x = i.x + r // h * i.x_n
        for _ in range(w):
            count = taps_of(taps, load_f32(grid + 4), i.IH, mode, padding, corners)
            taps_of(taps + AXIS, load_f32(grid), i.IW, mode, padding, corners)
            found = pairs(taps, count, x, i.x_h, i.x_w)
            for k in range(0, c, LANES):
                weighted_rows(taps + 2 * AXIS, taps + 2 * AXIS + PAIRS, found, y, k, c - k)
            grid += i.g_w
            y += i.y_w
