"""A graph back to ONNX: float nodes as they are, foreign nodes from their kept bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..graph import Array, Graph, Kind, Node, TensorType
from .export_branches import nested
from .foreign import domain_of, renamed

OPSET, IR_VERSION = 21, 10


def element_type(kind: Kind) -> int:
    return int(onnx.TensorProto.STRING) if kind is Kind.STRING else int(helper.np_dtype_to_tensor_dtype(kind.dtype))


def value_info(name: str, t: TensorType) -> onnx.ValueInfoProto:
    shape = None if t.shape is None else [d if isinstance(d, int) else (None if d == "?" else d) for d in t.shape]
    return helper.make_tensor_value_info(name, element_type(t.kind), shape)


def export_nodes(node: Node, inputs: Iterable[str], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The ONNX nodes of one float node, under the given value names."""
    names, results = list(inputs), list(outputs)
    if node.op == "Onnx":
        return [renamed(onnx.NodeProto.FromString(node.attributes["proto"]), names, results)]
    if node.op == "MatMul" and len(names) == 3:
        product = f"{results[0]}.product"
        first = helper.make_node("MatMul", names[:2], [product], name=f"{node.name}.product")
        return [first, helper.make_node("Add", [product, names[2]], results, name=node.name)]
    attributes = {k: _attribute(node, k, v) for k, v in node.attributes.items() if k not in ("qmin", "qmax")}
    return [helper.make_node(node.op, names, results, name=node.name, **attributes)]


def _attribute(node: Node, name: str, value: Any) -> Any:
    if node.op == "Cast" and name == "to":
        return int(helper.np_dtype_to_tensor_dtype(np.dtype(value)))
    if isinstance(value, np.ndarray):
        return numpy_helper.from_array(value)
    return list(value) if isinstance(value, tuple) else value


def make_model(
    graph: Graph, nodes: list[onnx.NodeProto], constants: Mapping[str, Array], outputs: Mapping[str, TensorType]
) -> onnx.ModelProto:
    """A checked model of the graph's inputs and the given parts."""
    elements = {v: element_type(t.kind) for v, t in graph.types.items()}
    nodes = nested(nodes, list(outputs), elements)
    arrays = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    inputs = [value_info(i, graph.types[i]) for i in graph.inputs]
    proto = helper.make_graph(nodes, graph.name, inputs, [value_info(n, t) for n, t in outputs.items()], arrays)
    domains = {d: v for n in graph.nodes if n.op == "Onnx" for d, v in map(domain_of, n.attributes["opset"]) if d}
    imports = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(d, v) for d, v in sorted(domains.items()))]
    return helper.make_model(proto, opset_imports=imports, ir_version=IR_VERSION, producer_name="qglow")


def export_float(graph: Graph, outputs: Iterable[str] | None = None) -> onnx.ModelProto:
    """The model of a float graph; `outputs` may name any of its values (default: its own outputs)."""
    nodes = [p for n in graph.nodes for p in export_nodes(n, n.inputs, n.outputs)]
    wanted = graph.outputs if outputs is None else tuple(outputs)
    return make_model(graph, nodes, graph.constants, {o: graph.types[o] for o in wanted})
