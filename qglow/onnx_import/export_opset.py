"""An exported model in the oldest opset that has all of its nodes as they are, for runtimes that know no newer one.

An operator of an older opset is the same where its schema has as many inputs and outputs, every attribute that the node
sets, with the text of its value named, the same defaults, and the dtypes of the node's values. Models with nodes of
ours that stand for foreign ones stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx
from onnx import AttributeProto, helper

OLDEST = 13  # opset: the first whose QuantizeLinear and DequantizeLinear have an axis
Types = Mapping[str, str]


def in_oldest_opset(model: onnx.ModelProto, newest: int) -> onnx.ModelProto:
    """The model, of opset `newest`, with the number of the oldest opset in which it is the same."""
    typed = onnx.shape_inference.infer_shapes(model) if model.ByteSize() < 2**31 else model
    g = typed.graph
    types = {t.name: _name(t.data_type) for t in g.initializer}
    types |= {v.name: _name(v.type.tensor_type.elem_type) for v in (*g.input, *g.value_info, *g.output)}
    if any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for n in g.node for a in n.attribute):
        return model  # NOTE: types of what branches capture and hold are not followed
    opset = next((v for v in range(OLDEST, newest) if all(_fits(n, v, newest, types) for n in _standard(g))), newest)
    for o in model.opset_import:
        if not o.domain:
            o.version = opset
    model.ir_version = min(model.ir_version, helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True))
    return model


def _standard(g: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    return (n for n in g.node if n.domain in ("", "ai.onnx"))


def _name(element: int) -> str:
    return f"tensor({helper.tensor_dtype_to_string(element).removeprefix('TensorProto.').lower()})" if element else ""


def _fits(n: onnx.NodeProto, opset: int, newest: int, types: Types) -> bool:
    try:
        old, new = (onnx.defs.get_schema(n.op_type, v) for v in (opset, newest))
    except onnx.defs.SchemaError:
        return False
    if old.since_version == new.since_version:
        return True
    counts = [(s.min_input, s.max_input, s.min_output, s.max_output) for s in (old, new)]
    defaults = [{k: a.default_value.SerializeToString() for k, a in s.attributes.items()} for s in (old, new)]
    same = counts[0] == counts[1] and all(defaults[1].get(k) == v for k, v in defaults[0].items())
    return same and _has_attributes(n, old) and _has_dtypes(n, old, types)


def _has_attributes(n: onnx.NodeProto, schema: onnx.defs.OpSchema) -> bool:
    """Whether the schema knows the attributes of a node, and names the words that they hold."""
    text = (schema.doc or "") + "".join(a.description for a in schema.attributes.values())
    words = [a.s.decode() for a in n.attribute if a.type == AttributeProto.STRING]
    return all(a.name in schema.attributes for a in n.attribute) and all(w in text for w in words)


def _has_dtypes(n: onnx.NodeProto, schema: onnx.defs.OpSchema, types: Types) -> bool:
    sides = ((n.input, schema.inputs), (n.output, schema.outputs))
    return all(
        types.get(v, "") in formal[min(k, len(formal) - 1)].types
        for values, formal in sides for k, v in enumerate(values) if v
    )  # fmt: skip
