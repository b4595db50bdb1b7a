"""Tensors that a model keeps in files of their own, read into it: of no more bytes than the limit of memory in all."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from ..errors import ModelError, cause_of, in_one_line
from ..limits import check_memory


def load_external_data(model: onnx.ModelProto, folder: Path) -> None:
    """Read what tensors keep beside the model into them. Raises ModelError, naming the tensor, and LimitError."""
    size = 0
    for tensor in _tensors(model.graph):
        if not uses_external_data(tensor):
            continue
        size += _size(tensor, folder)
        check_memory(size, f"tensor {tensor.name!r}: its data in a file beside the model, with what is read before it,")
        try:
            load_external_data_for_tensor(tensor, str(folder))
        except Exception as error:
            raise ModelError(f"the data of tensor {tensor.name!r} cannot be read: {in_one_line(error)}") from error


def _size(tensor: onnx.TensorProto, folder: Path) -> int:
    """Bytes that are read for a tensor."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    file = folder / said.get("location", "")
    try:
        status = file.stat()
        length = int(said["length"]) if "length" in said else status.st_size
    except (OSError, ValueError) as error:
        why = cause_of(error) or in_one_line(error)
        raise ModelError(f"the data of tensor {tensor.name!r} cannot be read: {str(file)!r}: {why}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"the data of tensor {tensor.name!r} cannot be read: {str(file)!r} is not a plain file")
    return length


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for a in node.attribute:
            yield from (a.t, *a.tensors, a.sparse_tensor.values, a.sparse_tensor.indices)
            for inner in (a.g, *a.graphs):
                yield from _tensors(inner)
