"""Shapes that follow from the shapes before them while dimensions still have names: what is not known, for no cost."""

from __future__ import annotations

from collections.abc import Mapping

from ..graph import DType, Graph, Node, TensorType
from ..graph.dtypes import dtype_made
from ..graph.infer import either
from ..graph.select_op import SELECT
from ..ops.traits import BROADCAST
from .shape_table import SHAPES


def refine(graph: Graph) -> Graph:
    """The graph with a shape for every value of unknown rank whose rank follows from the inputs of its node."""
    types = dict(graph.types)
    for node in graph.nodes:
        if node.op == SELECT:
            if types[node.outputs[0]].shape is None:
                types[node.outputs[0]] = either([types[v] for v in node.inputs[1:]])
            continue
        rule = SHAPES.get(node.op)
        if rule is None or all(types[o].shape is not None for o in node.outputs if o):
            continue
        shapes = [types[i].shape if i else None for i in node.inputs]
        alike = node.has(BROADCAST) or node.definition.operands[-1].variadic
        if alike and any(i and s is None for i, s in zip(node.inputs, shapes, strict=True)):
            continue
        try:
            found = rule(node, shapes, [graph.constants.get(i) if i else None for i in node.inputs])
        except (IndexError, KeyError, ValueError):  # NOTE: of a side that is never taken
            continue
        for o, shape in zip(node.outputs, found, strict=False):
            if (
                o
                and shape is not None
                and types[o].shape is None
                and not any(isinstance(d, int) and d < 0 for d in shape)
            ):
                types[o] = TensorType(_dtype(node, o, types), shape, types[o].quant)
    return graph.with_(types=types)


def _dtype(node: Node, output: str, types: Mapping[str, TensorType]) -> DType:
    """The dtype of an output whose inputs are known. What stood there without a shape may be a guess."""
    if types[output].is_quantized:
        return types[output].dtype
    return dtype_made(node, node.outputs.index(output), [types.get(i) for i in node.inputs]) or types[output].dtype
