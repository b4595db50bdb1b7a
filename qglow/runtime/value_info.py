"""What a session says of its inputs and outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Dim, TensorType
from ..record import NamedTuple

_ONNX_NAMES = {"float32": "float", "float64": "double", "object": "string"}


class ValueInfo(NamedTuple):
    """Name, shape (symbolic dimensions as strings, None for one without a name) and ONNX type name of an input or
    output, as onnxruntime's NodeArg."""

    name: str
    shape: list[Dim | None]
    type: str

    @staticmethod
    def of(name: str, t: TensorType) -> ValueInfo:
        shape = [None if d == "?" else d for d in t.shape or ()]
        return ValueInfo(name, shape, f"tensor({element_name(t.dtype.numpy)})")


def element_name(dtype: np.dtype[Any]) -> str:
    """The name of a dtype in an ONNX type."""
    return _ONNX_NAMES.get(dtype.name, dtype.name)
