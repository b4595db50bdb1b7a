"""Max(x, x * alpha) with a scalar 0 <= alpha <= 1 is LeakyRelu(x, alpha)."""

from __future__ import annotations

from ..graph import Graph, Node


def fuse_leaky_relu(graph: Graph) -> Graph:
    producers = graph.producers()
    nodes = []
    for node in graph.nodes:
        match = _match(graph, producers, node) if node.op == "Max" and len(node.inputs) == 2 else None
        nodes.append(node if match is None else Node("LeakyRelu", (match[0],), node.outputs, {"alpha": match[1]}, node.name))
    return graph.with_(nodes=tuple(nodes))


def _match(graph: Graph, producers: dict[str, Node], node: Node) -> tuple[str, float] | None:
    for x, scaled in (node.inputs, node.inputs[::-1]):
        mul = producers.get(scaled)
        if mul is None or mul.op != "Mul" or x not in mul.inputs:
            continue
        other = mul.inputs[1] if mul.inputs[0] == x else mul.inputs[0]
        alpha = graph.constants.get(other)
        if alpha is not None and alpha.size == 1 and 0 <= float(alpha.ravel()[0]) <= 1:
            return x, float(alpha.ravel()[0])
    return None
