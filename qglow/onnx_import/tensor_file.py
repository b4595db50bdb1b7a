"""One tensor in ONNX's own file format, as ONNX's test data has them."""

from __future__ import annotations

from pathlib import Path

import onnx

from ..errors import DataError, LimitError, in_one_line
from ..graph import Array
from ..reading import read_file
from .element_types import array_of


def read_tensor(path: Path) -> tuple[str, Array]:
    """(name, array) of a TensorProto file."""
    try:
        tensor = onnx.TensorProto.FromString(read_file(path, DataError))
        return tensor.name, array_of(tensor)
    except (DataError, LimitError):
        raise
    except Exception as error:
        raise DataError(f"{path}: not a readable ONNX tensor ({in_one_line(error)})") from error
