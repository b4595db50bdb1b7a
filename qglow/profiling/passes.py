"""The two passes over a tensor's data, by kernels of the library. Images may lie channel by channel, or pixel by
pixel."""

from __future__ import annotations

import ctypes
import threading
from functools import lru_cache
from typing import Any, cast

import numpy as np

from ..graph import Array
from ..kernels.library import load
from ..kernels.sizes import BINS, BLOCK, TABLES

PAGE = 4096
VECTOR = 16  # floats


@lru_cache(maxsize=1)
def _functions() -> tuple[Any, ...]:
    library = load()
    kinds = (("row_ranges", 6), ("pixel_ranges", 9), ("count_bins", 9))
    return tuple(ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * n)(library.address(name)) for name, n in kinds)


class _Tables(threading.local):
    """Where a thread counts."""

    def __init__(self) -> None:
        self.scratch = np.zeros(TABLES * BINS + BLOCK, np.int32)


_TABLES = _Tables()


def arranged(x: Array) -> Array:
    """A float tensor as kernels read it: float32, in order or, where it lies so, an image pixel by pixel; what is
    behind it readable."""
    x = np.asarray(x, np.float32)
    if is_by_pixel(x):
        return (
            x
            if _is_readable(x)
            else _longer(x.transpose(0, *range(2, x.ndim), 1)).transpose(0, x.ndim - 1, *range(1, x.ndim - 1))
        )
    x = np.ascontiguousarray(x)
    return x if _is_readable(x) else _longer(x)


def is_by_pixel(x: Array) -> bool:
    """Whether an image [N, C, H, W] or a line [N, C, W] has its channels side by side."""
    if x.ndim not in (3, 4) or x.shape[1] == 1 or x.strides[1] != 4:
        return False
    return x.size > x.shape[0] * x.shape[1] and all(s > 0 for d, s in zip(x.shape, x.strides, strict=True) if d > 1)


def _is_readable(x: Array) -> bool:
    """Whether a whole vector from the last element on lies in its page: kernels read whole vectors, and nothing may be
    mapped behind."""
    last = x.ctypes.data + sum((d - 1) * s for d, s in zip(x.shape, x.strides, strict=True))
    return last // PAGE == (last + 4 * VECTOR + 3) // PAGE


def _longer(x: Array) -> Array:
    """A copy, in the order of x's dimensions, with room behind it."""
    longer = np.empty(x.size + 2 * VECTOR, np.float32)
    made = longer[: x.size].reshape(x.shape)
    made[...] = x
    return made


def ranges(x: Array) -> tuple[Array, Array, Array]:
    """x, arranged, [N, C, ...] -> least and largest float32 [N, C], and sums float64 [N, C], not finite where x is
    not."""
    if not is_by_pixel(x):
        low, high, total = (
            np.empty(x.shape[:2], np.float32),
            np.empty(x.shape[:2], np.float32),
            np.empty(x.shape[:2], np.float64),
        )
        _functions()[0](
            x.ctypes.data, low.size, x.size // low.size, low.ctypes.data, high.ctypes.data, total.ctypes.data
        )
        return low, high, total
    n, c = x.shape[:2]
    shape = (n, -(-c // VECTOR) * VECTOR)
    low, high, total = (
        np.full(shape, np.inf, np.float32),
        np.full(shape, -np.inf, np.float32),
        np.zeros(shape, np.float64),
    )
    for k in range(n):
        data, *grid = _grid(x[k])
        _functions()[1](data, *grid, *(a[k].ctypes.data for a in (low, high, total)))
    return low[:, :c], high[:, :c], total[:, :c]


def count_bins(x: Array, scale: float, histogram: Array) -> None:
    """Add x, arranged, to histogram int64 [BINS]: bin floor(x scale) + BINS / 2."""
    factor = np.array([scale], np.float64)
    runs = [_together(*_grid(image)) for image in x] if is_by_pixel(x) else [(x.ctypes.data, 1, 0, 1, 0, x.size)]
    for run in runs:
        _functions()[2](*run, factor.ctypes.data, histogram.ctypes.data, _TABLES.scratch.ctypes.data)


Grid = tuple[int, int, int, int, int, int]  # address, rows, bytes of a row, columns, bytes of a column, channels


def _grid(image: Array) -> Grid:
    """An image [C, H, W] or a line [C, W] as rows of columns of channels."""
    rows, row = (image.shape[1], image.strides[1]) if image.ndim == 3 else (1, 0)
    return cast(Grid, (image.ctypes.data, rows, row, image.shape[-1], image.strides[-1], image.shape[0]))


def _together(data: int, rows: int, row: int, columns: int, column: int, count: int) -> Grid:
    """The same elements in longer runs, where nothing lies between."""
    if column == 4 * count:
        columns, column, count = 1, 0, columns * count
        if row == 4 * count:
            rows, row, count = 1, 0, rows * count
    return data, rows, row, columns, column, count
