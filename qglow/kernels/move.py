"""Kernels that move bytes: copies, changes of layout, nearest resampling, borders."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import njit
from .memory import copy_bytes, copy_small, fill, fill_bytes, load_i32, move_1, move_2, move_4, move_8
from .split import part_of, part_of_either, row_at
from .vector import I8, I64, load_at, mask, store_at, vec

i64 = types.int64
NEAR_ROWS = 64


@njit(nogil=True)
def copy(i, share):
    n, h, w, c = i.N, i.H, i.W, i.C
    first, end = part_of(share, n * h)
    for r in range(first, end):
        x = row_at(i.x, i.x_n, i.x_h, r, h)
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        if i.x_w == c and i.y_w == c:
            copy_bytes(y, x, w * c)
            continue
        for _ in range(w):
            copy_small(y, x, c)
            x += i.x_w
            y += i.y_w


@intrinsic
def transpose_16(context, x, x_row, y, y_row):
    """16 rows of 16 bytes, x_row bytes apart, to 16 rows of their columns, y_row bytes apart: four rounds of
    interleaving."""

    def generate(ctx, b, sig, args):
        x, x_row, y, y_row = args
        t = vec(I8, 16)
        rows = [load_at(b, b.add(x, b.mul(x_row, ir.Constant(I64, k))), t) for k in range(16)]
        low = mask([n for k in range(8) for n in (k, 16 + k)])
        high = mask([n for k in range(8, 16) for n in (k, 16 + k)])
        for _ in range(4):
            rows = [b.shuffle_vector(rows[k], rows[k + 8], m) for k in range(8) for m in (low, high)]
        for k in range(16):
            store_at(b, b.add(y, b.mul(y_row, ir.Constant(I64, k))), rows[k])
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64), generate


def interleaving(planes):
    """16 bytes of so many planes, two to four of them, x_plane bytes apart, one of each in turns: 16 pixels without
    gaps."""

    @intrinsic
    def interleave(context, x, x_plane, y):
        def generate(ctx, b, sig, args):
            x, x_plane, y = args
            t = vec(I8, 16)
            rows = [load_at(b, b.add(x, b.mul(x_plane, ir.Constant(I64, k))), t) for k in range(planes)]
            pair = b.shuffle_vector(rows[0], rows[1], mask(list(range(32))))
            rest = b.shuffle_vector(rows[min(2, planes - 1)], rows[planes - 1], mask(list(range(32))))
            for k in range(planes):
                order = [n // planes + n % planes * 16 for n in range(16 * k, 16 * k + 16)]
                store_at(b, b.add(y, ir.Constant(I64, 16 * k)), b.shuffle_vector(pair, rest, mask(order)))
            return ctx.get_dummy_value()

        return types.void(i64, i64, i64), generate

    return interleave


interleave_2, interleave_3, interleave_4 = map(interleaving, (2, 3, 4))


@njit(nogil=True)
def move_few(x, y, rows, columns, x_col):
    """Rows of bytes in planes to pixels without gaps; the rows that were moved."""
    last = rows // 16 * 16
    for r in range(0, last, 16):
        if columns == 2:
            interleave_2(x + r, x_col, y + r * 2)
        elif columns == 3:
            interleave_3(x + r, x_col, y + r * 3)
        else:
            interleave_4(x + r, x_col, y + r * 4)
    return last


@njit(nogil=True)
def move_item(y, x, item):
    if item == 1:
        move_1(y, x)
    elif item == 4:
        move_4(y, x)
    elif item == 8:
        move_8(y, x)
    else:
        move_2(y, x)


@njit(nogil=True)
def move_fours(x, y, rows, columns, x_row, x_col, y_row, y_col):
    """Elements of four bytes: columns one after the other, over as many rows as stay near."""
    for first in range(0, rows, NEAR_ROWS):
        last = min(rows, first + NEAR_ROWS)
        for c in range(columns):
            source, target = x + c * x_col, y + c * y_col
            for r in range(first, last):
                move_4(target + r * y_row, source + r * x_row)


@njit(nogil=True)
def move_plane(x, y, rows, columns, x_row, x_col, y_row, y_col, item):
    """The two innermost dimensions."""
    if x_col == item and y_col == item:
        for r in range(rows):
            copy_small(y + r * y_row, x + r * x_row, columns * item)
        return
    if item == 4:
        move_fours(x, y, rows, columns, x_row, x_col, y_row, y_col)
        return
    r1 = c1 = 0
    if item == 1 and x_row == 1 and y_col == 1:
        r1, c1 = rows // 16 * 16, columns // 16 * 16
        for c in range(0, c1, 16):
            for r in range(0, r1, 16):
                transpose_16(x + r + c * x_col, x_col, y + r * y_row + c, y_row)
        if 2 <= columns <= 4 and y_row == columns:
            r1, c1 = move_few(x, y, rows, columns, x_col), columns
    for r in range(r1 if c1 == columns else 0, rows):
        for c in range(c1 if r < r1 else 0, columns):
            move_item(y + r * y_row + c * y_col, x + r * x_row + c * x_col, item)


@njit(nogil=True)
def transpose(i, share):
    """The first four dimensions are shared by the threads, or, where they are few, the fifth."""
    a, b, c, d = i.D0, i.D1, i.D2, i.D3
    rows, columns, item = i.D4, i.D5, i.item
    outer = a * b * c * d
    o0, o1, r0, r1 = part_of_either(share, outer, rows, outer < share.pieces)
    x_row, x_col, y_row, y_col = i.x4, i.x5, i.y4, i.y5
    for k in range(o0, o1):
        kd, rest = k % d, k // d
        kc, rest = rest % c, rest // c
        kb, ka = rest % b, rest // b
        x = i.x + ka * i.x0 + kb * i.x1 + kc * i.x2 + kd * i.x3
        y = i.y + ka * i.y0 + kb * i.y1 + kc * i.y2 + kd * i.y3
        move_plane(x + r0 * x_row, y + r0 * y_row, r1 - r0, columns, x_row, x_col, y_row, y_col, item)


@njit(nogil=True)
def resize_nearest(i, share):
    n, h, w, c = i.N, i.H, i.W, i.C
    first, end = part_of(share, n * h)
    for r in range(first, end):
        x = i.x + r // h * i.x_n + load_i32(i.rows + 4 * (r % h)) * i.x_h
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        for col in range(w):
            copy_small(y + col * i.y_w, x + load_i32(i.columns + 4 * col) * i.x_w, c)


@njit(nogil=True)
def halo(i, share):
    """y points to the first pixel inside of the border; rows and columns beyond it are laid out around it, y_w bytes a
    pixel."""
    n, h, w, c, v = i.N, i.H, i.W, i.y_w, i.value
    top, left, bottom, right = i.top, i.left, i.bottom, i.right
    rows = top + h + bottom
    first, end = part_of(share, n * rows)
    for r in range(first, end):
        y = i.y + r // rows * i.y_n + (r % rows - top) * i.y_h - left * c
        if r % rows < top or r % rows >= top + h:
            fill(y, v, (left + w + right) * c)
        else:
            fill(y, v, left * c)
            fill(y + (left + w) * c, v, right * c)


@njit(nogil=True)
def fill_all(i, share):
    first, end = part_of(share, i.C)
    fill_bytes(i.y + first, i.value, end - first)
