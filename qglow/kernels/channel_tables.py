"""A table of its own for each channel: blocks of 64 pixels by 16 channels are turned, so that a vector holds one
channel, and back."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .elementwise_u8 import find, table_of
from .jit import njit
from .memory import store_i64
from .vector import I8, I64, add_to, joined, load_at, mask, part, store_at, vec

i64 = types.int64
PIXELS, CHANNELS = 64, 16
_LOW = [n for lane in range(0, 64, 16) for k in range(8) for n in (lane + k, 64 + lane + k)]
_HIGH = [n + 8 for n in _LOW]


def turned(b, rows):
    """Four 16 x 16 matrices of bytes, one in each 128-bit lane of 16 vectors, transposed: four rounds of
    interleaving."""
    for _ in range(4):
        rows = [b.shuffle_vector(rows[k], rows[k + 8], mask(m)) for k in range(8) for m in (_LOW, _HIGH)]
    return rows


@intrinsic
def block(context, xs, ys, at, tables):
    """16 channels, `at` bytes into each of 64 pixels. xs, ys: addresses of int64 [64], the pixels' addresses. tables:
    the first channel's."""

    def generate(ctx, b, sig, args):
        xs, ys, at, tables = args

        def address(of, p):
            return b.add(load_at(b, add_to(b, of, 8 * p), I64), at)

        quarter = vec(I8, CHANNELS)
        rows = [
            joined(b, [load_at(b, address(xs, CHANNELS * lane + k), quarter) for lane in range(4)])
            for k in range(CHANNELS)
        ]
        found = [
            find(b, table_of(b, b.add(tables, ir.Constant(I64, 256 * c))), v) for c, v in enumerate(turned(b, rows))
        ]
        for k, v in enumerate(turned(b, found)):
            for lane in range(4):
                store_at(b, address(ys, CHANNELS * lane + k), part(b, v, CHANNELS * lane, CHANNELS))
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64), generate


@njit(nogil=True)
def look_up_channels(i, scratch, first, last):
    """Pixels `first` to `last` of a `lookup` of at least 16 channels. scratch: 1024 bytes. A short block ends with its
    last pixel repeated, and the last channels are done with those before them: what is written twice is written the
    same."""
    x, y, h, w, c, table, t_c = i.x, i.y, i.H, i.W, i.C, i.table, i.t_c
    x_n, x_h, x_w, y_n, y_h, y_w = i.x_n, i.x_h, i.x_w, i.y_n, i.y_h, i.y_w
    xs, ys = scratch, scratch + 8 * PIXELS
    p = first
    while p < last:
        count = min(PIXELS, last - p)
        image, row, column = p // (h * w), p // w % h, p % w
        for k in range(PIXELS):
            store_i64(xs + 8 * k, x + image * x_n + row * x_h + column * x_w)
            store_i64(ys + 8 * k, y + image * y_n + row * y_h + column * y_w)
            if k + 1 < count:
                column += 1
                if column == w:
                    column, row = 0, row + 1
                    if row == h:
                        row, image = 0, image + 1
        for k in range(0, c, CHANNELS):
            at = min(k, c - CHANNELS)
            block(xs, ys, at, table + at * t_c)
        p += count
