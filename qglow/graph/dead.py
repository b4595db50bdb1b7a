"""Nodes whose outputs nothing reads, and constants and types that nothing names, are removed."""

from __future__ import annotations

from .graph import Graph, Node


def remove_dead(graph: Graph) -> Graph:
    """The graph without what its outputs do not need; inputs stay."""
    needed = set(graph.outputs)
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            nodes.append(node)
            needed |= set(node.inputs) - {""}
    used = needed | set(graph.inputs) | {o for n in nodes for o in n.outputs}
    return graph.with_(
        nodes=tuple(reversed(nodes)),
        constants={k: v for k, v in graph.constants.items() if k in needed},
        types={k: t for k, t in graph.types.items() if k in used},
    )
