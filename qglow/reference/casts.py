"""Conversion between element types, with one result on every CPU (docs/quantization.md, 35)."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from ..graph import Array


def cast(x: Array, dtype: np.dtype[Any]) -> Array:
    """x as `dtype`. Floats become integers by cutting the fraction off.

    C leaves open what a float that is not a number, or beyond an integer type, becomes. Here, as on x86: the least
    int32 for a target of up to 32 bits, of which smaller types take the lower bits; for uint32 the lower bits of int64;
    for 64 bits the least int64.
    """
    if dtype.kind == "O" and x.dtype.kind != "O":
        return np.array([_text(v) for v in x.ravel().tolist()], object).reshape(x.shape)
    if x.dtype.kind == "O" and dtype.kind != "O":
        return _numbers(x, dtype)
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


def _text(v: float) -> str:
    """A number as onnxruntime writes it: 8 digits of a float."""
    if not isinstance(v, float):
        return str(int(v))
    if math.isfinite(v):
        return f"{v:.8g}"
    return "NaN" if v != v else "INF" if v > 0 else "-INF"


def _numbers(x: Array, dtype: np.dtype[Any]) -> Array:
    """Strings as numbers: integers by the digits that they begin with. Raises ValueError for one that is no number."""
    if dtype.kind == "f":
        return np.array([float(v) for v in x.ravel()], dtype).reshape(x.shape)
    found = [re.match(r"\s*[+-]?[0-9]+", v) for v in x.ravel()]
    if None in found:
        raise ValueError(f"{x.ravel()[found.index(None)]!r} is not a number")
    wide = np.array([int(m[0]) for m in found if m is not None], object).reshape(x.shape)
    return wide.astype(bool) if dtype.kind == "b" else np.array(wide & (1 << 64) - 1, np.uint64).astype(dtype)
