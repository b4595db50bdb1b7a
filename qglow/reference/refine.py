"""Shapes that follow from the shapes before them while dimensions still have names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import ModelError
from ..graph import DType, Graph, Node, Shape, TensorType
from ..graph.dtypes import dtype_made
from ..graph.infer import either
from ..graph.select_op import SELECT, has_branches
from ..ops.traits import BROADCAST
from .shape_table import SHAPES


def refine(graph: Graph) -> Graph:
    """The graph with the shapes that its shape rules give: where none stood, and where a size was known otherwise, for
    what imported the graph may have guessed it.

    Raises ModelError for a node that its operands do not fit, before a rewrite takes what was said of its output for
    true. Of a graph with branches such a node may be on a side that is never taken, and stays.
    """
    types, lenient = dict(graph.types), has_branches(graph)
    for node in graph.nodes:
        if node.op == SELECT:
            if types[node.outputs[0]].shape is None:
                types[node.outputs[0]] = either([types[v] for v in node.inputs[1:]])
            continue
        try:
            found = _shapes_of(node, types, graph)
        except ValueError as error:
            if lenient:
                continue
            raise ModelError(f"node {node.name!r} ({node.operator}): {error}") from error
        for o, shape in zip(node.outputs, found, strict=False):
            if o and shape is not None:
                known = types[o].shape
                dtype = _dtype(node, o, types) if known is None else types[o].dtype
                types[o] = TensorType(dtype, _merged(shape, known), types[o].quant)
    return graph.with_(types=types)


def _shapes_of(node: Node, types: Mapping[str, TensorType], graph: Graph) -> Sequence[Shape | None]:
    """What the rule of a node's op makes of the shapes before it; nothing where too little is known of them. Raises
    ValueError for shapes that do not fit."""
    rule = SHAPES.get(node.op)
    shapes = [types[i].shape if i else None for i in node.inputs]
    unknown = any(i and s is None for i, s in zip(node.inputs, shapes, strict=True))
    if rule is None or (unknown and (node.has(BROADCAST) or node.definition.operands[-1].variadic)):
        return []
    try:
        found = rule(node, shapes, [graph.constants.get(i) if i else None for i in node.inputs])
    except (IndexError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ValueError) and not unknown:
            raise
        return []
    short = next((s for s in found if s is not None and any(isinstance(d, int) and d < 0 for d in s)), None)
    if short is not None:
        raise ValueError(f"shapes {shapes} do not fit: the output would have the shape {list(short)}")
    return found


def _merged(found: Shape, known: Shape | None) -> Shape:
    """The sizes that were found, and the names that were known."""
    if known is None or len(found) != len(known):
        return found
    return tuple(d if isinstance(d, int) else k for d, k in zip(found, known, strict=True))


def _dtype(node: Node, output: str, types: Mapping[str, TensorType]) -> DType:
    """The dtype of an output whose inputs are known. What stood there without a shape may be a guess."""
    if types[output].is_quantized:
        return types[output].dtype
    return dtype_made(node, node.outputs.index(output), [types.get(i) for i in node.inputs]) or types[output].dtype
