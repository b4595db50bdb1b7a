"""Kernels that move bytes: copies, changes of layout, nearest resampling, borders."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import njit
from .memory import copy_bytes, copy_small, fill, fill_bytes, load_i32, load_i64, move_1, move_2, move_4, move_8, words
from .table import kernel
from .vector import I8, I64, load_at, mask, store_at, vec

i64 = types.int64
XY = "x y N H W C x_n x_h x_w y_n y_h y_w"
CX, CY, CN, CH, CW, CC, CXN, CXH, CXW, CYN, CYH, CYW = words("copy", XY)
NEAR_ROWS = 64


@kernel("copy")
@njit(nogil=True)
def copy(i, arena, constants, thread, threads):
    n, h, w, c = load_i64(i + CN), load_i64(i + CH), load_i64(i + CW), load_i64(i + CC)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        x = load_i64(i + CX) + r // h * load_i64(i + CXN) + r % h * load_i64(i + CXH)
        y = load_i64(i + CY) + r // h * load_i64(i + CYN) + r % h * load_i64(i + CYH)
        if load_i64(i + CXW) == c and load_i64(i + CYW) == c:
            copy_bytes(y, x, w * c)
            continue
        for _ in range(w):
            copy_small(y, x, c)
            x += load_i64(i + CXW)
            y += load_i64(i + CYW)


TX, TY, TITEM = words("transpose", "x y item")
D0, X0, Y0 = words("transpose", "D0 x0 y0")


@intrinsic
def transpose_16(context, x, x_row, y, y_row):
    """16 rows of 16 bytes, x_row bytes apart, to 16 rows of their columns, y_row bytes apart: four rounds of interleaving."""

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
    for r in range(rows):
        for c in range(c1 if r < r1 else 0, columns):
            move_item(y + r * y_row + c * y_col, x + r * x_row + c * x_col, item)


@kernel("transpose")
@njit(nogil=True)
def transpose(i, arena, constants, thread, threads):
    """The first four dimensions are shared by the threads, or, where they are few, the fifth."""
    a, b, c, d = load_i64(i + D0), load_i64(i + D0 + 8), load_i64(i + D0 + 16), load_i64(i + D0 + 24)
    rows, columns, item = load_i64(i + D0 + 32), load_i64(i + D0 + 40), load_i64(i + TITEM)
    outer = a * b * c * d
    by_outer = outer >= threads
    o0, o1 = (outer * thread // threads, outer * (thread + 1) // threads) if by_outer else (0, outer)
    r0, r1 = (0, rows) if by_outer else (rows * thread // threads, rows * (thread + 1) // threads)
    x_row, x_col, y_row, y_col = load_i64(i + X0 + 32), load_i64(i + X0 + 40), load_i64(i + Y0 + 32), load_i64(i + Y0 + 40)
    for k in range(o0, o1):
        kd, rest = k % d, k // d
        kc, rest = rest % c, rest // c
        kb, ka = rest % b, rest // b
        x = load_i64(i + TX) + ka * load_i64(i + X0) + kb * load_i64(i + X0 + 8) + kc * load_i64(i + X0 + 16) + kd * load_i64(i + X0 + 24)
        y = load_i64(i + TY) + ka * load_i64(i + Y0) + kb * load_i64(i + Y0 + 8) + kc * load_i64(i + Y0 + 16) + kd * load_i64(i + Y0 + 24)
        move_plane(x + r0 * x_row, y + r0 * y_row, r1 - r0, columns, x_row, x_col, y_row, y_col, item)


RX, RY, RN, RH, RW, RC, RXN, RXH, RXW, RYN, RYH, RYW = words("resize_nearest", XY)
RR, RCOL = words("resize_nearest", "rows columns")


@kernel("resize_nearest")
@njit(nogil=True)
def resize_nearest(i, arena, constants, thread, threads):
    n, h, w, c = load_i64(i + RN), load_i64(i + RH), load_i64(i + RW), load_i64(i + RC)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        x = load_i64(i + RX) + r // h * load_i64(i + RXN) + load_i32(load_i64(i + RR) + 4 * (r % h)) * load_i64(i + RXH)
        y = load_i64(i + RY) + r // h * load_i64(i + RYN) + r % h * load_i64(i + RYH)
        for col in range(w):
            copy_small(y + col * load_i64(i + RYW), x + load_i32(load_i64(i + RCOL) + 4 * col) * load_i64(i + RXW), c)


HY, HN, HH, HW, HYN, HYH, HYW, HT, HL, HB, HR, HV = words("halo", "y N H W y_n y_h y_w top left bottom right value")


@kernel("halo")
@njit(nogil=True)
def halo(i, arena, constants, thread, threads):
    """y points to the first pixel inside of the border; rows and columns beyond it are laid out around it, y_w bytes a pixel."""
    n, h, w, c, v = load_i64(i + HN), load_i64(i + HH), load_i64(i + HW), load_i64(i + HYW), load_i64(i + HV)
    top, left, bottom, right = load_i64(i + HT), load_i64(i + HL), load_i64(i + HB), load_i64(i + HR)
    rows = top + h + bottom
    for r in range(n * rows * thread // threads, n * rows * (thread + 1) // threads):
        y = load_i64(i + HY) + r // rows * load_i64(i + HYN) + (r % rows - top) * load_i64(i + HYH) - left * c
        if r % rows < top or r % rows >= top + h:
            fill(y, v, (left + w + right) * c)
        else:
            fill(y, v, left * c)
            fill(y + (left + w) * c, v, right * c)


FY, FC, FV = words("fill", "y C value")


@kernel("fill")
@njit(nogil=True)
def fill_all(i, arena, constants, thread, threads):
    c = load_i64(i + FC)
    first, last = c * thread // threads, c * (thread + 1) // threads
    fill_bytes(load_i64(i + FY) + first, load_i64(i + FV), last - first)
