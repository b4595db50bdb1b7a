"""The largest elements of rows, in order: a heap of K codes, sorted in the end.

A code is an int64 that orders elements as the law does: above, the bits of the float as an integer of the same order,
below, the more the sooner an element comes. No two are equal.
"""

from __future__ import annotations

from .jit import njit
from .memory import load_f32, load_i32, load_i64, store_f32, store_i64
from .split import part_of

LOWER = 0xFFFFFFFF


@njit(nogil=True)
def code_of(x, k, largest):
    value = load_f32(x + 4 * k)
    bits = load_i32(x + 4 * k)
    if value == 0:
        bits = 0
    elif value != value:
        bits = 0x7FFFFFFF
    elif bits < 0:
        bits = -(bits & 0x7FFFFFFF)
    return ((bits if largest else -bits) << 32) | (LOWER - k)


@njit(nogil=True)
def sink(heap, k, size, code):
    """Put a code in place k or below, where no code under it is less."""
    while 2 * k + 1 < size:
        child = 2 * k + 1
        if child + 1 < size and load_i64(heap + 8 * child + 8) < load_i64(heap + 8 * child):
            child += 1
        least = load_i64(heap + 8 * child)
        if code < least:
            break
        store_i64(heap + 8 * k, least)
        k = child
    store_i64(heap + 8 * k, code)


@njit(nogil=True)
def top_of_row(x, y, heap, count, wanted, largest):
    for k in range(wanted):
        store_i64(heap + 8 * k, code_of(x, k, largest))
    for k in range(wanted // 2 - 1, -1, -1):
        sink(heap, k, wanted, load_i64(heap + 8 * k))
    for k in range(wanted, count):
        code = code_of(x, k, largest)
        if code > load_i64(heap):
            sink(heap, 0, wanted, code)
    for end in range(wanted - 1, 0, -1):
        code = load_i64(heap + 8 * end)
        store_i64(heap + 8 * end, load_i64(heap))
        sink(heap, 0, end, code)
    for k in range(wanted):
        place = LOWER - (load_i64(heap + 8 * k) & LOWER)
        store_i64(heap + 8 * k, place)
        store_f32(y + 4 * k, load_f32(x + 4 * place))


@njit(nogil=True)
def float_top_k(i, share):
    first, end = part_of(share, i.H)
    for r in range(first, end):
        top_of_row(i.x + r * i.x_h, i.y + r * i.y_h, i.place + r * i.place_h, i.C, i.K, i.largest)
