"""Identity nodes and casts that change nothing are removed; a graph output keeps its name."""

from __future__ import annotations

from ..graph import Graph, Node


def remove_identities(graph: Graph) -> Graph:
    outputs, alias, nodes = set(graph.outputs), dict[str, str](), list[Node]()
    for node in graph.nodes:
        node = node.with_(inputs=tuple(alias.get(i, i) for i in node.inputs))
        if _changes_nothing(graph, node) and node.outputs[0] not in outputs:
            alias[node.outputs[0]] = node.inputs[0]
        else:
            nodes.append(node)
    return graph.with_(nodes=tuple(nodes))


def _changes_nothing(graph: Graph, node: Node) -> bool:
    if node.op == "Identity":
        return True
    if node.op == "Cast":
        return graph.types[node.inputs[0]].kind.dtype.name == node.attr("to")
    if node.op in ("Reshape", "Flatten"):
        t = graph.types[node.inputs[0]]
        return t.is_static and t.shape == graph.types[node.outputs[0]].shape
    return False
