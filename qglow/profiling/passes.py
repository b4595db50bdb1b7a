"""The pass over a tensor's data, by kernels of the library. Images may lie channel by channel, or pixel by pixel."""

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
    kinds = (("observe_rows", 9), ("observe_pixels", 12), ("add_counts", 2))
    return tuple(ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * n)(library.address(name)) for name, n in kinds)


class _Tables(threading.local):
    """Where a thread counts."""

    def __init__(self) -> None:
        self.scratch = np.zeros(TABLES * BINS + BLOCK, np.int32)
        self.waiting = False  # counts that nobody came for, where an interrupt ended an observation


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


Found = tuple[Array, Array, Array, Array]


def observe(x: Array, reach: float, upper: float | None = None) -> Found:
    """x, arranged, [N, C, ...] -> least and largest float32 [N, C], sums, and sums of what is not below 0, float64
    [N, C]; the first sums are not finite where x is not.

    Its elements are counted in this thread's tables, in BINS bins over [-reach, reach), or those from 0 on in half as
    many over [0, upper), and wait there for `add_counts` or `discard_counts`. What lies beyond is counted in the bins
    at the ends.
    """
    if _TABLES.waiting:
        discard_counts()
    _TABLES.waiting = True
    scratch = _TABLES.scratch
    scale = np.array([BINS / 2 / reach, BINS / 2 / (reach if upper is None else upper)], np.float32)
    if not is_by_pixel(x):
        found = _empty(x.shape[:2])
        rows = found[0].size
        _functions()[0](
            x.ctypes.data, rows, x.size // rows, scale.ctypes.data, *(a.ctypes.data for a in found), scratch.ctypes.data
        )
        return found
    n, c = x.shape[:2]
    low, high, total, above = found = _empty((n, -(-c // VECTOR) * VECTOR))
    low[...], high[...], total[...], above[...] = np.inf, -np.inf, 0, 0
    for k in range(n):
        _functions()[1](*_grid(x[k]), scale.ctypes.data, *(a[k].ctypes.data for a in found), scratch.ctypes.data)
    return low[:, :c], high[:, :c], total[:, :c], above[:, :c]


def _empty(shape: tuple[int, ...]) -> Found:
    return np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape), np.empty(shape)


def add_counts(histogram: Array) -> None:
    """Add what this thread's tables hold to histogram int64 [BINS], and clear them."""
    _functions()[2](histogram.ctypes.data, _TABLES.scratch.ctypes.data)
    _TABLES.waiting = False


def discard_counts() -> None:
    """Clear this thread's tables."""
    _functions()[2](0, _TABLES.scratch.ctypes.data)
    _TABLES.waiting = False


Grid = tuple[int, int, int, int, int, int]  # address, rows, bytes of a row, columns, bytes of a column, channels


def _grid(image: Array) -> Grid:
    """An image [C, H, W] or a line [C, W] as rows of columns of channels."""
    rows, row = (image.shape[1], image.strides[1]) if image.ndim == 3 else (1, 0)
    return cast(Grid, (image.ctypes.data, rows, row, image.shape[-1], image.strides[-1], image.shape[0]))
