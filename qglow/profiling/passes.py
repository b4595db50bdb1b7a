"""The two passes over a tensor's data, by kernels of the library."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import numpy as np

from ..graph import Array
from ..kernels.library import load
from ..kernels.sizes import BINS, BLOCK, TABLES

PAGE = 4096


@lru_cache(maxsize=1)
def _functions() -> tuple[Any, Any, Array]:
    library = load()
    made = [ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * n)(library.address(name)) for name, n in (("row_ranges", 6), ("count_bins", 5))]
    return made[0], made[1], np.zeros(TABLES * BINS + BLOCK, np.int32)


def readable(x: Array) -> Array:
    """x, or a copy where its last vector reaches into the next page: kernels read whole vectors, and nothing may be mapped there."""
    end = x.ctypes.data + x.nbytes
    if (end - 1) // PAGE == (end + 63) // PAGE:
        return x
    longer = np.empty(x.size + 32, np.float32)
    longer[: x.size] = x.reshape(-1)
    return longer[: x.size].reshape(x.shape)


def row_ranges(x: Array) -> tuple[Array, Array, Array]:
    """x: float32 [N, C, S], C-contiguous -> least and largest float32 [N, C], and sums float64 [N, C], not finite where x is not."""
    x = readable(x)
    low, high, total = np.empty(x.shape[:2], np.float32), np.empty(x.shape[:2], np.float32), np.empty(x.shape[:2], np.float64)
    _functions()[0](x.ctypes.data, low.size, x.shape[2], low.ctypes.data, high.ctypes.data, total.ctypes.data)
    return low, high, total


def count_bins(x: Array, scale: float, histogram: Array) -> None:
    """Add float32 x, C-contiguous, to histogram int64 [BINS]: bin floor(x scale) + BINS / 2."""
    x = readable(x)
    factor = np.array([scale], np.float64)
    _, count, scratch = _functions()
    count(x.ctypes.data, x.size, factor.ctypes.data, histogram.ctypes.data, scratch.ctypes.data)
