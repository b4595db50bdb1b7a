"""What onnxruntime takes and ONNX's checker refuses: nodes in any order, inputs and outputs without a shape, outputs
without a type, in old models constants that are not among the inputs, operators before ONNX had them, and
GroupNormalization as it first was."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import onnx

from .inference import FREE_CONSTANTS, HIDDEN, all_nodes, has_free_constants, infer_shapes, is_shapeless
from .onnx_fallback import captures

STANDARD = ("", "ai.onnx")
SINCE = {  # opsets before which the checker does not know an operator that onnxruntime, or a body in contrib, writes
    "Erf": 9, "GroupNormalization": 21, "LayerNormalization": 17, "ThresholdedRelu": 10,
}  # fmt: skip


def completed(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its nodes in topological order and with the types of outputs that inference finds; the same object
    where there is nothing to change. Where nodes form a circle it is left as it is, for the checker to say so."""
    graph = proto.graph
    order = _order(graph)
    untyped = [o.name for o in graph.output if not _is_typed(o)]
    if order is None and not untyped and all(_is_typed(v) for v in graph.value_info):
        return proto
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    if order is not None:
        del result.graph.node[:]
        result.graph.node.extend(graph.node[k] for k in order)
    del result.graph.value_info[:]
    result.graph.value_info.extend(v for v in graph.value_info if _is_typed(v))
    if untyped:
        _add_types(result)
    return result


def for_checker(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model as the checker takes it: an input or output without a shape, one of any rank, is shown to it as a
    scalar, a model of before IR version 4 as one of it, for until then each constant had to be an input, and an
    operator that is older here than in ONNX (SINCE) as one of a domain that it does not know."""
    is_old = has_free_constants(proto)
    # the importer names the operator that nobody knows
    untyped = [o for o in proto.graph.output if not _is_typed(o)]
    opset = max((o.version for o in proto.opset_import if o.domain in STANDARD), default=max(SINCE.values()))
    early = any(_is_early(n, opset) for n in all_nodes(proto.graph))
    shapeless = any(map(is_shapeless, (*proto.graph.input, *proto.graph.output)))
    if not is_old and not untyped and not shapeless and not early:
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for n in all_nodes(copy.graph) if early else ():
        if _is_early(n, opset):
            n.domain = HIDDEN
    if early:
        copy.opset_import.append(onnx.helper.make_opsetid(HIDDEN, 1))
    if is_old:
        copy.ir_version = FREE_CONSTANTS
    for o in copy.graph.output:
        if not _is_typed(o):
            o.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for v in (*copy.graph.input, *copy.graph.output):
        if is_shapeless(v):
            v.type.tensor_type.shape.SetInParent()
    return copy


def _is_typed(v: onnx.ValueInfoProto) -> bool:
    """Whether there is a type, and it says one."""
    which = v.type.WhichOneof("value")
    return which is not None and (which != "tensor_type" or v.type.tensor_type.elem_type != onnx.TensorProto.UNDEFINED)


def _is_early(n: onnx.NodeProto, opset: int) -> bool:
    return n.domain in STANDARD and opset < SINCE.get(n.op_type, 0)


def _order(graph: onnx.GraphProto) -> list[int] | None:
    """The nodes' numbers in topological order, as near to the file's as it can be; None where that is one, or there is
    none."""
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
    without.graph.output.extend(o for o in proto.graph.output if _is_typed(o))
    try:
        found = {v.name: v for v in infer_shapes(without).graph.value_info}
    except Exception:  # NOTE: inference is a help
        return
    inputs = {v.name: v for v in proto.graph.input}
    for o in proto.graph.output:
        if not _is_typed(o) and (v := found.get(o.name, inputs.get(o.name))) is not None:
            o.CopyFrom(v)
