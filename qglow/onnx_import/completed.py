"""What onnxruntime takes and ONNX's checker refuses: nodes in any order, inputs and outputs without a shape, outputs without a type."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import onnx

from .inference import infer_shapes
from .onnx_fallback import captures


def completed(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its nodes in topological order and with the types of outputs that inference finds; the same object where there is
    nothing to change. Where nodes form a circle, or no type is found, it is left as it is, for the checker to say so."""
    graph = proto.graph
    order = _order(graph)
    untyped = [o.name for o in graph.output if not o.HasField("type")]
    if order is None and not untyped and all(v.HasField("type") for v in graph.value_info):
        return proto
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    if order is not None:
        del result.graph.node[:]
        result.graph.node.extend(graph.node[k] for k in order)
    del result.graph.value_info[:]
    result.graph.value_info.extend(v for v in graph.value_info if v.HasField("type"))
    if untyped:
        _add_types(result)
    return result


def for_checker(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model as the checker takes it: an input or output without a shape, one of any rank, is shown to it as a scalar."""
    shapeless = [v.type.tensor_type for v in (*proto.graph.input, *proto.graph.output) if _is_shapeless(v)]
    if not shapeless:
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for v in (*copy.graph.input, *copy.graph.output):
        if _is_shapeless(v):
            v.type.tensor_type.shape.SetInParent()
    return copy


def _is_shapeless(v: onnx.ValueInfoProto) -> bool:
    return v.type.HasField("tensor_type") and not v.type.tensor_type.HasField("shape")


def _order(graph: onnx.GraphProto) -> list[int] | None:
    """The nodes' numbers in topological order, as near to the file's as it can be; None where that is one, or there is none."""
    makers = {o: k for k, n in enumerate(graph.node) for o in n.output if o}
    reads = {k: {makers[i] for i in (*n.input, *captures(n)) if i in makers} for k, n in enumerate(graph.node)}
    if all(max(before, default=-1) < k for k, before in reads.items()):
        return None
    try:
        return list(TopologicalSorter(reads).static_order())
    except CycleError:
        return None


def _add_types(proto: onnx.ModelProto) -> None:
    """Give outputs without a type the one that inference finds."""
    without = onnx.ModelProto()
    without.CopyFrom(proto)
    del without.graph.output[:]
    without.graph.output.extend(o for o in proto.graph.output if o.HasField("type"))
    try:
        found = {v.name: v for v in infer_shapes(without).graph.value_info}
    except Exception:  # NOTE: inference is a help; the checker names the output
        return
    inputs = {v.name: v for v in proto.graph.input}
    for o in proto.graph.output:
        if not o.HasField("type") and (v := found.get(o.name, inputs.get(o.name))) is not None:
            o.CopyFrom(v)
