"""Multiply-adds of a node: of products and recurrent layers, known from the shapes of their operands alone."""

from __future__ import annotations

from math import prod
from typing import Final

from ..ops.traits import CONVOLUTION, MATRIX_PRODUCT, RECURRENT, ROW_PRODUCT
from .graph import Graph, Node
from .type_rules import channel_axis

# products of integers that stay as ONNX has them: which operand the weights are, and whether it is a convolution
_FOREIGN: Final = {
    "MatMulInteger": (1, False),
    "QLinearMatMul": (3, False),
    "ConvInteger": (1, True),
    "QLinearConv": (3, True),
}


def multiply_adds(graph: Graph, node: Node) -> int:
    """How many a node takes; 0 of an op that is no product, and where a shape is not known.

    An op that computes products inside itself, as the body of a loop does, counts as none.
    """
    weights, windowed = _FOREIGN.get(node.operator, (1, False)) if node.op == "Onnx" else (1, node.has(CONVOLUTION))
    x, w, y = (_shape(graph, v) for v in (node.input(0), node.input(weights), next(filter(None, node.outputs), "")))
    if x is None or w is None or y is None:
        return 0
    if node.has(RECURRENT):
        return prod(x[:2]) * (prod(w) + prod(_shape(graph, node.input(2)) or (0,)))
    if windowed:
        by_input = node.has(CONVOLUTION) and channel_axis(node, len(w)) == 1  # a transposed one: of every input element
        return prod(x if by_input else y) * prod(w[1:])
    if (node.has(MATRIX_PRODUCT) or node.has(ROW_PRODUCT) or node.operator in _FOREIGN) and x:
        turned = node.has(MATRIX_PRODUCT) and bool(node.attributes.get("transA"))
        return prod(y) * x[-2 if turned else -1]
    return 0


def _shape(graph: Graph, name: str) -> tuple[int, ...] | None:
    if name in graph.constants:
        return graph.types[name].static_shape
    t = graph.types.get(name)
    return t.static_shape if t is not None and t.is_static else None
