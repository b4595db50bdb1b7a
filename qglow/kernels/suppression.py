"""Boxes by falling score, of which those that overlap a kept one too much are left out
(reference/float_select.py).

Of one batch and class the candidates are codes that are sorted: by insertion where they are few, else by their digits.
A candidate is held to a vector of kept boxes at a time.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .floats import larger, smaller
from .jit import njit
from .memory import fill_bytes, load_f32, load_i32, load_i64, store_f32, store_i64
from .runs import LANES
from .vector import F32, I32, I64, const, load_at, mask, splat, vec

CODE = 8  # bytes
FEW = 64  # candidates that are sorted by insertion
DIGITS = 256  # of one byte of a code, counted in int64
TWO = np.float32(2)
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
def corners_of(x, box, plane, centers):
    """Keep a box as low y, low x, high y, high x and area, each in a plane of its own."""
    a, b, c, d = load_f32(x), load_f32(x + 4), load_f32(x + 8), load_f32(x + 12)
    if centers:
        half_h, half_w = d / TWO, c / TWO
        top, left, bottom, right = b - half_h, a - half_w, b + half_h, a + half_w
    else:
        top, left, bottom, right = lower(a, c), lower(b, d), higher(a, c), higher(b, d)
    store_f32(box, top)
    store_f32(box + plane, left)
    store_f32(box + 2 * plane, bottom)
    store_f32(box + 3 * plane, right)
    store_f32(box + 4 * plane, (bottom - top) * (right - left))


@intrinsic
def overlaps(context, box, plane, others, others_plane, count, limit):
    """Whether the intersection over union of a box and any of others, at most a vector of them, is above a limit."""

    def generate(ctx, b, sig, args):
        box, plane, others, others_plane, count, limit = args
        t = vec(F32, LANES)

        def value(k):
            return splat(b, load_at(b, b.add(box, b.mul(plane, ir.Constant(I64, k))), F32), LANES)

        def other(k):
            return load_at(b, b.add(others, b.mul(others_plane, ir.Constant(I64, k))), t)

        low_y, low_x = (larger(b, value(k), other(k)) for k in (0, 1))
        high_y, high_x = (smaller(b, value(k), other(k)) for k in (2, 3))
        area, other_area, zero = value(4), other(4), const(t, 0.0)
        apart = b.or_(b.fcmp_ordered("<=", high_y, low_y), b.fcmp_ordered("<=", high_x, low_x))
        empty = b.or_(b.fcmp_ordered("<=", area, zero), b.fcmp_ordered("<=", other_area, zero))
        none, there = b.or_(apart, empty), b.icmp_signed("<", mask(range(LANES)), splat(b, b.trunc(count, I32), LANES))

        def any_of(which):
            bits = b.bitcast(b.and_(which, there), ir.IntType(LANES))
            return b.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

        found = cgutils.alloca_once_value(b, any_of(b.fcmp_ordered(">", zero, splat(b, limit, LANES))))
        with b.if_then(any_of(b.not_(none))):  # a quotient is waited for only where there is one
            both = b.fmul(b.fsub(high_y, low_y), b.fsub(high_x, low_x))
            ratio = b.fdiv(both, b.fsub(b.fadd(area, other_area), both))
            b.store(any_of(b.fcmp_ordered(">", b.select(none, zero, ratio), splat(b, limit, LANES))), found)
        return b.load(found)

    return types.boolean(*[types.int64] * 5, types.float32), generate


@njit(nogil=True)
def candidates(score, codes, count, every, least):
    """Keep the codes of the boxes above a score; their number."""
    found = 0
    for k in range(count):
        if every or load_f32(score + 4 * k) > least:
            store_i64(codes + CODE * found, code_of(score + 4 * k, k))
            found += 1
    return found


@njit(nogil=True)
def insertion_sort(codes, count):
    for k in range(1, count):
        code, at = load_i64(codes + CODE * k), codes + CODE * k
        while at > codes and load_i64(at - CODE) > code:
            store_i64(at, load_i64(at - CODE))
            at -= CODE
        store_i64(at, code)


@njit(nogil=True)
def digit_of(code, shift):
    """A byte of a code as a number without sign."""
    return ((code >> shift) ^ (0x80 if shift == 56 else 0)) & 0xFF


@njit(nogil=True)
def sorted_codes(codes, spare, counts, count):
    """Codes in rising order, in their place or the spare one: where they are. Boxes rise already, so scores alone are
    sorted, by one byte after the other, which keeps the order of equal ones."""
    if count <= FEW:
        insertion_sort(codes, count)
        return codes
    for shift in (32, 40, 48, 56):
        fill_bytes(counts, 0, 8 * DIGITS)
        for k in range(count):
            at = counts + 8 * digit_of(load_i64(codes + CODE * k), shift)
            store_i64(at, load_i64(at) + 1)
        before = 0
        for k in range(DIGITS):
            here = load_i64(counts + 8 * k)
            store_i64(counts + 8 * k, before)
            before += here
        for k in range(count):
            code = load_i64(codes + CODE * k)
            at = counts + 8 * digit_of(code, shift)
            place = load_i64(at)
            store_i64(at, place + 1)
            store_i64(spare + CODE * place, code)
        codes, spare = spare, codes
    return codes


@njit(nogil=True)
def kept_of_class(codes, found, boxes, plane, chosen, chosen_plane, most, limit, rows, batch, of_class):
    """Write the rows of the boxes that are kept; their number."""
    kept = 0
    for n in range(found):
        if kept == most:
            break
        best = load_i64(codes + CODE * n) & 0x7FFFFFFF
        box, k = boxes + 4 * best, 0
        while k < kept and not overlaps(box, plane, chosen + 4 * k, chosen_plane, kept - k, limit):
            k += LANES
        if k < kept:
            continue
        for c in range(5):
            store_f32(chosen + c * chosen_plane + 4 * kept, load_f32(box + c * plane))
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
    codes, spare, counts = i.work, i.work + CODE * h, i.work + 2 * CODE * h
    boxes = counts + 8 * DIGITS
    plane, chosen, chosen_plane = 4 * h, boxes + 20 * h, 4 * (i.K + LANES)
    for b in range(n):
        for k in range(h):
            corners_of(i.x + 16 * (b * h + k), boxes + 4 * k, plane, i.centers)
        for k in range(c):
            score = i.score + 4 * h * (b * c + k)
            found = candidates(score, codes, h, i.every, i.f_least)
            order = sorted_codes(codes, spare, counts, found)
            rows += 24 * kept_of_class(order, found, boxes, plane, chosen, chosen_plane, i.K, i.f_overlap, rows, b, k)
    store_i64(i.count, (rows - i.y) // 24)
    fill_bytes(rows, 0, i.y + 24 * n * c * i.K - rows)
