"""A model with inner values among its outputs, for an engine that is to show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def part_for(model: Any, known: Mapping[str, Array], name: str) -> tuple[bytes, list[str]]:
    """The nodes that compute the named value from values that are known, or from the model's inputs: a model with these
    as its inputs, and their names."""
    proto = _proto(model)
    given = {v.name: v for v in proto.graph.input}
    producers = {o: k for k, n in enumerate(proto.graph.node) for o in n.output if o}
    needed, reached, left = set[int](), set[str](), [name]
    while left:
        value = left.pop()
        if value in reached:
            continue
        reached.add(value)
        if value in producers and (value == name or value not in known):
            needed.add(producers[value])
            left += _read_by(proto.graph.node[producers[value]])
    part = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import, functions=proto.functions)
    part.graph.name = proto.graph.name
    part.graph.node.extend(n for k, n in enumerate(proto.graph.node) if k in needed)
    part.graph.initializer.extend(i for i in proto.graph.initializer if i.name in reached)
    part.graph.sparse_initializer.extend(i for i in proto.graph.sparse_initializer if i.values.name in reached)
    part.graph.output.append(onnx.ValueInfoProto(name=name))
    held = {i.name for i in part.graph.initializer}
    made = {o for k in needed for o in proto.graph.node[k].output}
    for value in sorted(reached - held - made):
        if value in producers:
            kind = onnx.helper.np_dtype_to_tensor_dtype(known[value].dtype)
            part.graph.input.append(onnx.helper.make_tensor_value_info(value, kind, None))
        elif value in given:
            part.graph.input.append(given[value])
    return part.SerializeToString(), [v.name for v in part.graph.input]


def _read_by(node: onnx.NodeProto) -> list[str]:
    """The values that a node reads, and every name that its bodies read: theirs, and what they capture."""
    bodies = [b for a in node.attribute for b in (*a.graphs, *([a.g] if a.HasField("g") else []))]
    inner = [i for b in bodies for n in b.node for i in _read_by(n)]
    return [i for i in (*node.input, *inner, *(o.name for b in bodies for o in b.output)) if i]


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
