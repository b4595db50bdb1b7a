"""Conversion between element types, with one result on every CPU (docs/quantization.md, 35)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Array


def cast(x: Array, dtype: np.dtype[Any]) -> Array:
    """x as `dtype`. Floats become integers by cutting the fraction off.

    C leaves open what a float that is not a number, or beyond an integer type, becomes. Here, as on x86: the least
    int32 for a target of up to 32 bits, of which smaller types take the lower bits; for uint32 the lower bits of int64;
    for 64 bits the least int64.
    """
    if x.dtype.kind != "f" or dtype.kind not in "iu":
        return x.astype(dtype)
    wide = dtype.itemsize == 8 or dtype == np.uint32
    low, high = (-(2.0**63), 2.0**63) if wide else (-(2.0**31), 2.0**31)
    v = np.trunc(x.astype(np.float64))
    if dtype == np.uint64:
        upper = (v >= 2.0**63) & (v < 2.0**64)
        v = np.where(upper, v - 2.0**64, v)  # NOTE: exact, and the same 64 bits
    integers = np.where((v >= low) & (v < high), v, low).astype(np.int64)
    return integers.astype(np.int32).astype(dtype) if not wide else integers.astype(dtype)
