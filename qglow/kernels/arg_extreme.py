"""The place of the largest or the least element along an axis: the first of equal ones or the last. What is not a
number is passed over, unless it comes first (reference/float_reduce.py)."""

from __future__ import annotations

from .jit import njit
from .memory import load_f32, load_u8, store_i64
from .split import part_of, row_at


def places(load):
    """The kernel of elements that load(address) reads."""

    @njit(nogil=True)
    def place_of(x, step, count, largest, last):
        best, found = load(x) if largest else -load(x), 0
        for k in range(1, count):
            value = load(x + k * step) if largest else -load(x + k * step)
            if value > best or (last and value == best):
                best, found = value, k
        return found

    @njit(nogil=True)
    def kernel(i, share):
        h, largest, last = i.H, i.largest != 0, i.last != 0
        first, end = part_of(share, i.N * h)
        for r in range(first, end):
            x, y = row_at(i.x, i.x_n, i.x_h, r, h), row_at(i.y, i.y_n, i.y_h, r, h)
            for w in range(i.W):
                store_i64(y + w * i.y_w, place_of(x + w * i.x_w, i.x_c, i.C, largest, last))

    return kernel


arg_extreme, float_arg_extreme = places(load_u8), places(load_f32)
