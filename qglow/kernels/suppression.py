"""Boxes by falling score, of which those that overlap a kept one too much are left out
(reference/float_select.py).

Of one batch and class the candidates are codes in a heap, which gives the best one first; as many are taken as it
takes.
"""

from __future__ import annotations

import numpy as np

from .jit import njit
from .memory import fill_bytes, load_f32, load_i32, load_i64, store_f32, store_i64
from .top_k import sink

CODE, BOX = 8, 20  # bytes of a code, and of a box's corners and area
ZERO, TWO = np.float32(0), np.float32(2)
NO_NUMBER = -0x7FFFFFFF  # behind all scores


@njit(nogil=True)
def lower(a, b):
    """The lower of two; what is not a number where either is."""
    return a if a != a or (a <= b and b == b) else b


@njit(nogil=True)
def higher(a, b):
    return a if a != a or (a >= b and b == b) else b


@njit(nogil=True)
def code_of(score, k):
    """Falls as the score does, and among equal ones as the index rises: the least code is the best box."""
    value = load_f32(score)
    bits = load_i32(score)
    if value == 0:
        bits = 0
    elif value != value:
        bits = NO_NUMBER
    elif bits < 0:
        bits = -(bits & 0x7FFFFFFF)
    return (-bits << 32) | k


@njit(nogil=True)
def corners_of(x, box, centers):
    """Keep a box as low y, low x, high y, high x and area."""
    a, b, c, d = load_f32(x), load_f32(x + 4), load_f32(x + 8), load_f32(x + 12)
    if centers:
        half_h, half_w = d / TWO, c / TWO
        top, left, bottom, right = b - half_h, a - half_w, b + half_h, a + half_w
    else:
        top, left, bottom, right = lower(a, c), lower(b, d), higher(a, c), higher(b, d)
    store_f32(box, top)
    store_f32(box + 4, left)
    store_f32(box + 8, bottom)
    store_f32(box + 12, right)
    store_f32(box + 16, (bottom - top) * (right - left))


@njit(nogil=True)
def overlaps(a, b, limit):
    """Whether two boxes' intersection over union is above a limit."""
    low_y, low_x = higher(load_f32(a), load_f32(b)), higher(load_f32(a + 4), load_f32(b + 4))
    high_y, high_x = lower(load_f32(a + 8), load_f32(b + 8)), lower(load_f32(a + 12), load_f32(b + 12))
    area_a, area_b = load_f32(a + 16), load_f32(b + 16)
    if high_y <= low_y or high_x <= low_x or area_a <= 0 or area_b <= 0:
        return ZERO > limit
    both = (high_y - low_y) * (high_x - low_x)
    return both / (area_a + area_b - both) > limit


@njit(nogil=True)
def candidates(score, codes, count, every, least):
    """Keep the codes of the boxes above a score as a heap; their number."""
    found = 0
    for k in range(count):
        if every or load_f32(score + 4 * k) > least:
            store_i64(codes + CODE * found, code_of(score + 4 * k, k))
            found += 1
    for k in range(found // 2 - 1, -1, -1):
        sink(codes, k, found, load_i64(codes + CODE * k))
    return found


@njit(nogil=True)
def kept_of_class(codes, boxes, found, most, limit, rows, batch, of_class):
    """Write the rows of the boxes that are kept; their number."""
    kept = 0
    while found > 0 and kept < most:
        best = load_i64(codes) & 0x7FFFFFFF
        found -= 1
        sink(codes, 0, found, load_i64(codes + CODE * found))
        box, k = boxes + BOX * best, 0
        while k < kept and not overlaps(boxes + BOX * load_i64(rows + 24 * k + 16), box, limit):
            k += 1
        if k == kept:
            store_i64(rows + 24 * kept, batch)
            store_i64(rows + 24 * kept + 8, of_class)
            store_i64(rows + 24 * kept + 16, best)
            kept += 1
    return kept


@njit(nogil=True)
def float_nms(i, share):
    """Not divided: where a class' rows begin follows from those before."""
    if share.piece:
        return
    n, c, h, rows = i.N, i.C, i.H, i.y
    codes = i.work
    boxes = codes + CODE * h
    for b in range(n):
        for k in range(h):
            corners_of(i.x + 16 * (b * h + k), boxes + BOX * k, i.centers)
        for k in range(c):
            score = i.score + 4 * h * (b * c + k)
            found = candidates(score, codes, h, i.every, i.f_least)
            rows += 24 * kept_of_class(codes, boxes, found, i.K, i.f_overlap, rows, b, k)
    store_i64(i.count, (rows - i.y) // 24)
    fill_bytes(rows, 0, i.y + 24 * n * c * i.K - rows)
