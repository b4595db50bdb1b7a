"""A graph back to ONNX: float nodes as they are, foreign nodes from their kept bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..errors import ModelError
from ..graph import Array, DType, Graph, Node, TensorType
from ..graph.blocks import OP as BLOCKWISE
from ..graph.select_op import SELECT
from .export_blocks import DOMAIN, Parts, blockwise_nodes
from .export_branches import nested
from .onnx_fallback import renamed
from .opsets import domain_of

OPSET, IR_VERSION = 21, 10


def element_type(dtype: DType) -> int:
    return int(onnx.TensorProto.STRING) if dtype is DType.STRING else int(helper.np_dtype_to_tensor_dtype(dtype.numpy))


def value_info(name: str, t: TensorType) -> onnx.ValueInfoProto:
    shape = None if t.shape is None else [d if isinstance(d, int) else (None if d == "?" else d) for d in t.shape]
    return helper.make_tensor_value_info(name, element_type(t.dtype), shape)


def export_nodes(node: Node, inputs: Iterable[str], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The ONNX nodes of one float node, under the given value names."""
    names, results = list(inputs), list(outputs)
    if node.op == "Onnx":
        return [_fallback(node, names, results)]
    if node.op == "Swish":
        return _swish(node, names[0], results[0])
    if node.op == "MatMul" and len(names) == 3:
        product = f"{results[0]}.product"
        first = helper.make_node("MatMul", names[:2], [product], name=f"{node.name}.product")
        return [first, helper.make_node("Add", [product, names[2]], results, name=node.name)]
    if node.op != SELECT and not onnx.defs.has(node.op):  # NOTE: which becomes an If when all nodes are there
        raise ModelError(f"node {node.name!r}: {node.op} is no operator of ONNX, and cannot be exported")
    attributes = {k: _attribute(node, k, v) for k, v in node.attributes.items() if k not in ("qmin", "qmax")}
    if node.op == "Split" and not node.input(1):
        attributes["num_outputs"] = len(results)
    return [helper.make_node(node.op, names, results, name=node.name, **attributes)]


def _fallback(node: Node, names: list[str], results: list[str]) -> onnx.NodeProto:
    """The kept node. Raises ModelError where the opset of exported models has another operator of this name, in its
    subgraphs too."""
    proto, domains = onnx.NodeProto.FromString(node.attributes["proto"]), dict(map(domain_of, node.attributes["opset"]))
    opset = domains.get("", OPSET)
    for each in _with_bodies(proto):
        if each.domain in ("", "ai.onnx") and not _is_same(each.op_type, opset):
            raise ModelError(
                f"node {node.name!r}: {each.op_type} of opset {opset} cannot be exported: models are exported in opset "
                f"{OPSET}, where it "
                "is another operator"
            )
    return renamed(proto, names, results)


def _with_bodies(proto: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    yield proto
    for a in proto.attribute:
        for graph in (a.g, *a.graphs):
            for inner in graph.node:
                yield from _with_bodies(inner)


def _is_same(op: str, opset: int) -> bool:
    """Whether what an operator was in an opset it is in that of exported models too: what it reads, gives and
    assumes."""
    try:
        old, new = onnx.defs.get_schema(op, opset), onnx.defs.get_schema(op, OPSET)
    except onnx.defs.SchemaError:
        return False
    if (old.min_input, old.max_input, old.min_output, old.max_output) != (
        new.min_input,
        new.max_input,
        new.min_output,
        new.max_output,
    ):
        return False
    was, now = (
        {name: (a.required, a.default_value.SerializeToString()) for name, a in s.attributes.items()}
        for s in (old, new)
    )
    return all(now.get(name) == a for name, a in was.items()) and not any(
        a[0] for name, a in now.items() if name not in was
    )


def _swish(node: Node, x: str, y: str) -> list[onnx.NodeProto]:
    """x sigmoid(alpha x): an operator of its own since opset 24 alone."""
    alpha, nodes, scaled = float(node.attr("alpha")), [], x
    if alpha != 1:
        nodes = [
            helper.make_node("Constant", [], [f"{y}.alpha"], value_float=alpha),
            helper.make_node("CastLike", [f"{y}.alpha", x], [f"{y}.alpha.like"]),
            helper.make_node("Mul", [x, f"{y}.alpha.like"], [f"{y}.scaled"]),
        ]
        scaled = f"{y}.scaled"
    sigmoid = helper.make_node("Sigmoid", [scaled], [f"{y}.sigmoid"], name=f"{node.name}.sigmoid")
    return [*nodes, sigmoid, helper.make_node("Mul", [x, f"{y}.sigmoid"], [y], name=node.name)]


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
    elements = {v: element_type(t.dtype) for v, t in graph.types.items()}
    nodes = nested(nodes, list(outputs), elements)
    arrays = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    inputs = [value_info(i, graph.types[i]) for i in graph.inputs]
    proto = helper.make_graph(nodes, graph.name, inputs, [value_info(n, t) for n, t in outputs.items()], arrays)
    domains = {d: v for n in graph.nodes if n.op == "Onnx" for d, v in map(domain_of, n.attributes["opset"]) if d}
    domains |= {DOMAIN: 1} if any(n.domain == DOMAIN for n in nodes) and DOMAIN not in domains else {}
    imports = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(d, v) for d, v in sorted(domains.items()))]
    return helper.make_model(proto, opset_imports=imports, ir_version=IR_VERSION, producer_name="qglow")


def export_float(graph: Graph, outputs: Iterable[str] | None = None) -> onnx.ModelProto:
    """The model of a float graph; `outputs` may name any of its values (default: its own outputs)."""
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    for n in graph.nodes:
        parts = blockwise_nodes(graph, n) if n.op == BLOCKWISE else Parts(export_nodes(n, n.inputs, n.outputs), [])
        nodes += parts.nodes
        tensors += parts.tensors
    wanted = graph.outputs if outputs is None else tuple(outputs)
    read = {i for n in graph.nodes if n.op != BLOCKWISE for i in n.inputs} | {*wanted}
    plain = {name: a for name, a in graph.constants.items() if name in read}
    model = make_model(graph, nodes, plain, {o: graph.types[o] for o in wanted})
    model.graph.initializer.extend(tensors)
    return model
