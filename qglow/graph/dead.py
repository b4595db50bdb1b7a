"""Nodes whose outputs nothing reads are removed, and constants and types that nothing names.

Of a node that stays, outputs that nothing reads lose their name, except for the first, which always has one.
"""

from __future__ import annotations

from .graph import Graph, Node


def remove_dead(graph: Graph) -> Graph:
    """The graph without what its outputs do not need; inputs stay."""
    needed = set(graph.outputs)
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            if len(node.outputs) > 1:
                kept = (node.outputs[0], *(o if o in needed else "" for o in node.outputs[1:]))
                node = node if kept == node.outputs else node.with_(outputs=kept)
            nodes.append(node)
            needed.update(node.inputs)
            needed.discard("")
    used = needed | set(graph.inputs) | {o for n in nodes for o in n.outputs if o}
    return graph.with_(
        nodes=tuple(reversed(nodes)),
        constants={k: v for k, v in graph.constants.items() if k in needed},
        types={k: t for k, t in graph.types.items() if k in used},
    )
