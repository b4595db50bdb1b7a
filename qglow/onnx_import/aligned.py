"""Operands of arithmetic before opset 7, which said along which axes of the first operand the second lies: since then
it is the last.

1. `axis` of a node is gone, and its second operand has as many sizes of 1 behind its own as there are axes of the first
   behind them.
2. A node keeps its `axis` where a rank is not known; then the version converter refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from .inference import infer_shapes

ARITHMETIC = ("Add", "Sub", "Mul", "Div")


def with_aligned_operands(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model, of an opset before 7, with such nodes as opset 7 has; the same object where there are none to
    change."""
    if not any(_axis_of(n) is not None for n in proto.graph.node):
        return proto
    result = onnx.ModelProto.FromString(proto.SerializeToString())
    ranks, nodes = _ranks(proto), []
    taken = {name for n in proto.graph.node for name in (*n.input, *n.output)}
    for k, n in enumerate(result.graph.node):
        behind = _behind(n, ranks)
        if behind is not None:
            del n.attribute[next(j for j, a in enumerate(n.attribute) if a.name == "axis")]
        if behind:
            first, name = ranks[n.input[1]], f"{n.input[1]}.aligned.{k}"
            while name in taken:
                name += "_"
            nodes.append(
                onnx.helper.make_node("Unsqueeze", [n.input[1]], [name], axes=list(range(first, first + behind)))
            )
            n.input[1] = name
        nodes.append(n)
    made = onnx.GraphProto(node=nodes)
    del result.graph.node[:]
    result.graph.node.extend(made.node)
    return result


def _axis_of(n: onnx.NodeProto) -> int | None:
    if n.op_type not in ARITHMETIC or not any(a.name == "broadcast" and a.i for a in n.attribute):
        return None
    return next((a.i for a in n.attribute if a.name == "axis"), None)


def _behind(n: onnx.NodeProto, ranks: Mapping[str, int]) -> int | None:
    """How many axes of the first operand lie behind those of the second; None where that is not said, or not known."""
    axis = _axis_of(n)
    if axis is None or any(i not in ranks for i in n.input):
        return None
    a, b = (ranks[i] for i in n.input)
    behind = a - (axis + a if axis < 0 else axis) - b
    return behind if behind >= 0 else None


def _ranks(proto: onnx.ModelProto) -> dict[str, int]:
    """Of all values that have one. ONNX's inference knows nothing of old arithmetic, whose output is like its first
    operand."""
    model = onnx.ModelProto.FromString(proto.SerializeToString())
    while True:
        graph = infer_shapes(model).graph
        known = {
            v.name: v for v in (*graph.input, *graph.value_info, *graph.output) if v.type.tensor_type.HasField("shape")
        }
        found = [n for n in graph.node if n.op_type in ARITHMETIC and n.input[0] in known and n.output[0] not in known]
        if not found:
            ranks = {name: len(v.type.tensor_type.shape.dim) for name, v in known.items()}
            return ranks | {t.name: len(t.dims) for t in graph.initializer}
        for n in found:
            like = onnx.ValueInfoProto.FromString(known[n.input[0]].SerializeToString())
            like.name = n.output[0]
            model.graph.value_info.append(like)
