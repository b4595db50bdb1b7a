"""Nodes whose inputs are all constants become constants."""

from __future__ import annotations

from ..errors import QGlowError
from ..graph import Graph, Kind, TensorType
from ..reference import FLOAT, evaluate_node

_LARGEST = 1 << 22  # elements; NOTE: an Expand or Tile of a constant may be far larger than what it is made of


def fold_constants(graph: Graph) -> Graph:
    constants, types, nodes = dict(graph.constants), dict(graph.types), []
    outputs = set(graph.outputs)
    for node in graph.nodes:
        foldable = node.op in FLOAT and node.inputs and all(not i or i in constants for i in node.inputs)
        if not foldable or outputs & set(node.outputs):
            nodes.append(node)
            continue
        try:
            results = evaluate_node(graph, node, [constants[i] if i else None for i in node.inputs])
        except QGlowError:
            nodes.append(node)
            continue
        if sum(a.size for a in results) > _LARGEST:
            nodes.append(node)
            continue
        for name, array in zip(node.outputs, results, strict=False):
            if name:
                constants[name] = array.copy()
                types[name] = TensorType(Kind.of(array.dtype), tuple(array.shape))
    return graph.with_(nodes=tuple(nodes), constants=constants, types=types)
