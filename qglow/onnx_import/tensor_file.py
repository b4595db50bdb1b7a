"""One tensor in ONNX's own file format, as ONNX's test data has them."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import numpy_helper

from ..errors import DataError
from ..graph import Array


def read_tensor(path: Path) -> tuple[str, Array]:
    """(name, array) of a TensorProto file."""
    try:
        tensor = onnx.TensorProto.FromString(path.read_bytes())
        return tensor.name, numpy_helper.to_array(tensor)
    except Exception as error:
        raise DataError(f"{path}: not a readable ONNX tensor ({error})") from error
