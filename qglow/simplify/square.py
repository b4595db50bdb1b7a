"""A power of 2 is a product of a value with itself: exact, and cheaper than a power."""

from __future__ import annotations

import numpy as np

from ..graph import Graph, Node


def square_powers(graph: Graph) -> Graph:
    return graph.with_(nodes=tuple(_squared(graph, n) if n.op == "Pow" else n for n in graph.nodes))


def _squared(graph: Graph, node: Node) -> Node:
    x, exponent = node.inputs[0], graph.constants.get(node.inputs[1])
    rank = graph.types[x].rank
    if exponent is None or exponent.size != 1 or float(exponent.reshape(-1)[0]) != 2 or rank is None or exponent.ndim > rank:
        return node
    if not graph.types[x].kind.is_float or not np.isfinite(exponent).all():
        return node
    return node.with_(op="Mul", inputs=(x, x))
