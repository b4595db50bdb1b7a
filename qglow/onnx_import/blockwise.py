"""Quantization as an operator, where it is more than a scale per tensor or per index of an axis.

1. Block-wise: along one axis each block of `block_size` elements, the last one maybe shorter, has a scale and a zero
   point of its own.
2. DynamicQuantizeLinear: the scale follows from the range of what is given. That of zeros alone is 1, as in
   onnxruntime: ONNX's formula divides by zero there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from ..graph import Array

Attributes = Mapping[str, Any]
_DTYPES = {
    TensorProto.UINT8: np.uint8,
    TensorProto.INT8: np.int8,
    TensorProto.UINT16: np.uint16,
    TensorProto.INT16: np.int16,
}


def is_quantize(opset: int, attributes: Attributes) -> bool:
    """Whether it is block-wise, with nothing else that is special."""
    known = {"axis", "block_size", "saturate", "output_dtype", "precision"}
    plain = attributes.get("output_dtype", 0) in (0, *_DTYPES) and attributes.get("precision", 0) == 0
    return attributes.get("block_size", 0) > 0 and plain and set(attributes) <= known


def is_dequantize(opset: int, attributes: Attributes) -> bool:
    return attributes.get("block_size", 0) > 0 and attributes.get("output_dtype", 0) == 0 and set(attributes) <= {
        "axis", "block_size", "output_dtype"
    }  # fmt: skip


def quantize(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Array]:
    x, scale, zeros = (*inputs, None)[:3]
    dtype = np.dtype(_DTYPES.get(attributes.get("output_dtype", 0), np.uint8)) if zeros is None else zeros.dtype
    steps = np.rint(x / _spread(scale, x.shape, attributes)).astype(np.float32)
    return [
        _saturated(steps if zeros is None else steps + _spread(zeros, x.shape, attributes).astype(np.float32), dtype)
    ]


def dequantize(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Array]:
    x, scale, zeros = (*inputs, None)[:3]
    steps = x.astype(np.int64)
    steps = steps if zeros is None else steps - _spread(zeros, x.shape, attributes)
    real = steps.astype(np.float32) * _spread(scale, x.shape, attributes).astype(np.float32)
    return [real.astype(scale.dtype)]


def quantize_by_range(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Array]:
    """DynamicQuantizeLinear: uint8 values, their scale and zero point."""
    x = inputs[0]
    low, high = np.minimum(x.min(), np.float32(0)), np.maximum(x.max(), np.float32(0))
    scale = np.float32(1) if low == high else np.float32((high - low) / np.float32(255))
    zero = _saturated(np.rint(np.float32(0) - low / scale), np.dtype(np.uint8))
    return [_saturated(np.rint(x / scale) + zero.astype(np.float32), np.dtype(np.uint8)), np.asarray(scale), zero]


def _saturated(real: Array, dtype: np.dtype[Any]) -> Array:
    """Integers between the limits of a dtype; NaN, which no integer stands for, becomes the lower one."""
    limits = np.iinfo(dtype)
    return np.asarray(np.fmin(np.fmax(real, np.float32(limits.min)), np.float32(limits.max))).astype(dtype)


def _spread(values: Array, shape: tuple[int, ...], attributes: Attributes) -> Array:
    """What each element of a tensor of `shape` has of scales or zero points, of which each stands for a block. Raises
    ValueError."""
    axis, size = int(attributes["axis"]), int(attributes["block_size"])
    axis = axis + len(shape) if axis < 0 else axis
    expected = list(shape)
    if 0 <= axis < len(shape):
        expected[axis] = -(-shape[axis] // size)
    if not 0 <= axis < len(shape) or list(values.shape) != expected:
        raise ValueError(
            f"expected blocks of {size} along axis {axis}, {expected}, got scales or zero points of "
            f"{list(values.shape)}"
        )
    return np.repeat(values, size, axis).take(range(shape[axis]), axis)
