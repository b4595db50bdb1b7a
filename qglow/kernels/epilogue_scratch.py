"""What follows a product within its instruction: its bytes, still in the nearest cache, go through a table or meet a
residual."""

from __future__ import annotations

from ..instructions.table import POST_ADD, POST_TABLE
from .elementwise_u8 import lookup_run
from .jit import njit
from .memory import copy_small, move_1, move_4, move_8, move_16
from .pairs import bytes_run

add_run = bytes_run("Add", False)


@njit(nogil=True)
def finish_pixels(i, source, pitch, r, r_w, y, y_w, pixels, count, channel):
    """Move `count` bytes of each pixel from `source` to y, through what the instruction's `post` says. channel: the
    first byte's."""
    post = i.post
    if post == POST_ADD:
        a_zero, r_zero, m_a, m_r = i.a_zero, i.r_zero, i.f_a, i.f_r
        zero, low, high = i.p_zero, i.p_low, i.p_high
        for p in range(pixels):
            add_run((source + p * pitch, r + p * r_w, y + p * y_w, a_zero, r_zero, m_a, m_r, zero, low, high), count)
        return
    if post == POST_TABLE:
        table, t_c = i.table, i.t_c
        if t_c == 0:
            lookup_run(source, source, (pixels - 1) * pitch + count, table, 0)
        else:
            for p in range(pixels):
                lookup_run(source + p * pitch, source + p * pitch, count, table + channel * t_c, t_c)
    copy_pixels(y, y_w, source, pitch, pixels, count)


@njit(nogil=True)
def copy_pixels(y, y_w, x, x_w, pixels, count):
    """Copy `count` bytes of each pixel; how is decided once for all of them."""
    if count == 8:
        for p in range(pixels):
            move_8(y + p * y_w, x + p * x_w)
    elif count == 4:
        for p in range(pixels):
            move_4(y + p * y_w, x + p * x_w)
    elif count == 1:
        for p in range(pixels):
            move_1(y + p * y_w, x + p * x_w)
    elif 8 < count <= 16:
        for p in range(pixels):
            move_8(y + p * y_w, x + p * x_w)
            move_8(y + p * y_w + count - 8, x + p * x_w + count - 8)
    elif 16 < count <= 32:
        for p in range(pixels):
            move_16(y + p * y_w, x + p * x_w)
            move_16(y + p * y_w + count - 16, x + p * x_w + count - 16)
    else:
        for p in range(pixels):
            copy_small(y + p * y_w, x + p * x_w, count)
