"""ONNX's own shape inference, kept from doing what a model asks of it without a limit.

It computes the elements of values that say shapes, and of a Range it computes every one, 2 ** 40 too, in one call that
nothing ends. So a Range is shown to it as a Unique of its start, whose output has the same dtype and one axis as well,
of unknown size; the functions of windows, which it replaces by a Range, are shown as operators that it does not know.
Sizes that are missing then are found as soon as shapes are concrete. So are those of an STFT, which is hidden because
inference takes its `onesided` for 0 where it is left out. A node with an attribute of a value that its op does not take
is hidden likewise: inference reads memory by a negative `batch_dims`. The importer refuses it by name.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx.helper
import onnx.shape_inference

from ..ops import OPS

FREE_CONSTANTS = 4  # IR version since which constants need not be inputs
_WINDOWS = ("BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix")
_WRONG = ("STFT",)
HIDDEN = "qglow.hidden"
_WHOLE = (onnx.AttributeProto.INT, onnx.AttributeProto.INTS)


def infer_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model with the shapes that are inferred, those of outputs that are declared without one too, which
    onnx leaves as they are. A model with constants that are no inputs is shown as one of an IR version that has them.
    Raises what onnx raises."""
    open_ = {o.name: o.type.tensor_type.elem_type for o in proto.graph.output if is_shapeless(o)}
    if not open_ and not has_free_constants(proto):
        return _inferred(proto)
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.graph.output[:]
    copy.graph.output.extend(o for o in proto.graph.output if o.name not in open_)
    copy.ir_version = max(copy.ir_version, FREE_CONSTANTS)
    result = _inferred(copy)
    result.ir_version = proto.ir_version
    infos = list(result.graph.value_info)
    found = {v.name: v for v in infos if open_.get(v.name) == v.type.tensor_type.elem_type}
    del result.graph.output[:], result.graph.value_info[:]
    result.graph.output.extend(found.get(o.name, o) for o in proto.graph.output)
    result.graph.value_info.extend(v for v in infos if v.name not in open_)
    return result


def has_free_constants(proto: onnx.ModelProto) -> bool:
    """Whether a model of before FREE_CONSTANTS has constants that are not among its inputs."""
    inputs = {v.name for v in proto.graph.input}
    old = proto.ir_version in range(1, FREE_CONSTANTS)
    return old and any(t.name not in inputs for t in proto.graph.initializer)


def is_shapeless(v: onnx.ValueInfoProto) -> bool:
    """Whether a tensor is declared without a shape: of any rank."""
    return v.type.HasField("tensor_type") and not v.type.tensor_type.HasField("shape")


def _inferred(proto: onnx.ModelProto) -> onnx.ModelProto:
    given = [n for n in all_nodes(proto.graph) if _is_hidden(n)]
    if not given:
        return onnx.shape_inference.infer_shapes(proto, data_prop=True)
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for n in all_nodes(copy.graph):
        if _is_hidden(n):
            _hide(n)
    inferred = onnx.shape_inference.infer_shapes(copy, data_prop=True)
    shown = [n for n in all_nodes(inferred.graph) if n.name == HIDDEN]
    if len(shown) != len(given):
        raise ValueError("inference changed the nodes of the model")
    for n, original in zip(shown, given, strict=True):
        n.CopyFrom(original)
    return inferred


def _is_hidden(n: onnx.NodeProto) -> bool:
    return n.domain in ("", "ai.onnx") and (
        n.op_type == "Range" or n.op_type in (*_WINDOWS, *_WRONG) or not _is_declared(n)
    )


def _is_declared(n: onnx.NodeProto) -> bool:
    """Whether whole numbers among the attributes are of values that the op takes, as far as it is one of ours and has
    whole numbers there (an element type is a word of ours)."""
    declared = OPS.get(n.op_type)
    if declared is None:
        return True
    for a in n.attribute:
        attribute = declared.attributes.get(a.name) if a.type in _WHOLE else None
        if attribute is not None and attribute.is_whole and not attribute.holds(onnx.helper.get_attribute_value(a)):
            return False
    return True


def _hide(n: onnx.NodeProto) -> None:
    n.name = HIDDEN
    if n.op_type == "Range":
        n.op_type = "Unique"
        del n.input[1:], n.attribute[:]
    else:
        n.domain = HIDDEN


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for n in graph.node:
        yield n
        for a in n.attribute:
            for inner in (a.g, *a.graphs) if a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) else ():
                yield from all_nodes(inner)
