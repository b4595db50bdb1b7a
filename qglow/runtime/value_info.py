"""What a session says of its inputs and outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Dim, TensorType
from ..record import NamedTuple

_ONNX_NAMES = {"float32": "float", "float64": "double", "object": "string"}


class ValueInfo(NamedTuple):
    """Name, shape (symbolic dimensions as strings, None for one without a name) and ONNX type name of an input or
    output, as onnxruntime's NodeArg. scale, zero_point: of one that is quantized, real = scale (stored - zero_point);
    None of others."""

    name: str
    shape: list[Dim | None]
    type: str
    scale: float | None = None
    zero_point: int | None = None

    @staticmethod
    def of(name: str, t: TensorType) -> ValueInfo:
        shape = [None if d == "?" else d for d in t.shape or ()]
        kind = f"tensor({element_name(t.dtype.numpy)})"
        if t.quant is None or t.quant.axis is not None:
            return ValueInfo(name, shape, kind)
        return ValueInfo(name, shape, kind, t.quant.scale[0], t.quant.z)


def element_name(dtype: np.dtype[Any]) -> str:
    """The name of a dtype in an ONNX type."""
    return _ONNX_NAMES.get(dtype.name, dtype.name)
