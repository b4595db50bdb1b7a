"""A model with inner values among its outputs, for an engine that is to show them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from ..graph import Array, Graph
from .export_float import export_float

VARIADIC = ("Split", "If", "Loop", "Scan")  # operators with any number of outputs


def runnable(model: Any) -> str | bytes:
    """What an engine may load: a path as it is, a ModelProto or the export of a Graph as bytes."""
    if isinstance(model, (str, Path)) and not any(
        map(_unnamed, onnx.load(str(model), load_external_data=False).graph.node)
    ):
        return str(model)
    return _proto(model).SerializeToString()  # type: ignore[no-any-return]


def self_contained(model: Any) -> onnx.ModelProto:
    """The model with all its weights: what another process may load."""
    return _proto(model)


def without_denormals(model: Any) -> onnx.ModelProto:
    """The model with float32 weights below the normal range, which slow every product a hundredfold, replaced by zeros.

    No product of such a weight, less than 2^-126, with an activation below 2^63 reaches the last bit of a result above
    2^-39.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(_proto(model))
    for i, tensor in enumerate(copy.graph.initializer):
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and has_denormals(array):
            flushed = np.where(np.abs(array) < np.finfo(np.float32).tiny, np.float32(0), array)
            copy.graph.initializer[i].CopyFrom(numpy_helper.from_array(flushed, tensor.name))
    return copy


def has_denormals(array: Array) -> bool:
    """Whether an element of a float32 array is not 0 and below the normal range."""
    size = np.abs(array)
    return bool(((size > 0) & (size < np.finfo(np.float32).tiny)).any())


def named_values(model: Any) -> list[str]:
    """Names of what the nodes of the model's main graph compute, its outputs among them."""
    return [o for n in _proto(model).graph.node for o in n.output if o]


def with_outputs(model: Any, names: Iterable[str]) -> bytes:
    """The model with the named values as its outputs, and no others. Their types are left to the engine."""
    copy = onnx.ModelProto()
    copy.CopyFrom(_proto(model))
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names)
    return copy.SerializeToString()  # type: ignore[no-any-return]


def _proto(model: Any) -> onnx.ModelProto:
    if isinstance(model, Graph):
        return _named(export_float(model))
    return _named(model if isinstance(model, onnx.ModelProto) else onnx.load(str(Path(model))))


def _unnamed(node: onnx.NodeProto) -> bool:
    return node.op_type in VARIADIC and not all(node.output)


def _named(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A model whose Splits leave no output without a name: onnxruntime computes them all, and ends the process at one
    that has none."""
    if not any(map(_unnamed, proto.graph.node)):
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    taken = {o for n in copy.graph.node for o in n.output} | {
        v.name for v in (*copy.graph.input, *copy.graph.initializer)
    }
    for number, node in enumerate(copy.graph.node):
        for k, o in enumerate(node.output if _unnamed(node) else ()):
            if not o:
                name = f"{node.op_type}.{number}.{k}"
                while name in taken:
                    name += "_"
                node.output[k] = name
    return copy
