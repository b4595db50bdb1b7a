"""Nodes that change nothing are removed; a graph output keeps its name, which the node before it takes.

1. Identity, a Cast to the type that is there, a Reshape to the shape that is there.
2. A Pad by nothing, a Slice of the whole.
3. x + 0, x - 0, x * 1 and x / 1, by a constant that does not broadcast x.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, Graph, Node
from ..ops.traits import COMMUTATIVE, RESHAPE


def remove_identities(graph: Graph) -> Graph:
    outputs, alias, nodes = set(graph.outputs), dict[str, str](), list[Node]()
    for node in graph.nodes:
        node = node.with_(inputs=tuple(alias.get(i, i) for i in node.inputs))
        same = _same_value(graph, node)
        if same is None or node.op == "Identity" and node.outputs[0] in outputs:
            nodes.append(node)
        elif node.outputs[0] in outputs:
            nodes.append(Node("Identity", (same,), node.outputs, {}, node.name))
        else:
            alias[node.outputs[0]] = same
    return _named(graph.with_(nodes=tuple(nodes)))


def _named(graph: Graph) -> Graph:
    """Without Identity nodes at the outputs whose value can have the output's name itself."""
    new: dict[str, str] = {}
    made = {o for n in graph.nodes for o in n.outputs if o}
    for node in graph.nodes:
        x = node.inputs[0] if node.op == "Identity" else ""
        if x in made and x not in new and x not in graph.outputs and node.outputs[0] in graph.outputs:
            new[x] = node.outputs[0]
    nodes = [
        n.with_(inputs=tuple(new.get(i, i) for i in n.inputs), outputs=tuple(new.get(o, o) for o in n.outputs))
        for n in graph.nodes
        if not (n.op == "Identity" and new.get(n.inputs[0]) == n.outputs[0])
    ]
    types = {**graph.types, **{o: graph.types[x] for x, o in new.items() if graph.types[o].shape is None}}
    return graph.with_(nodes=tuple(nodes), types=types)


def _same_value(graph: Graph, node: Node) -> str | None:
    """The input that a node gives unchanged, or None."""
    if node.definition.neutral is not None:
        return _without_neutral(graph, node)
    return node.inputs[0] if _changes_nothing(graph, node) else None


def _changes_nothing(graph: Graph, node: Node) -> bool:
    if node.op == "Identity":
        return True
    if node.op == "Cast":
        t = graph.types[node.inputs[0]]  # NOTE: where its shape is not known, its kind may be a guess
        return t.shape is not None and t.kind.dtype.name == node.attr("to")
    if node.has(RESHAPE):
        t = graph.types[node.inputs[0]]
        return t.is_static and t.shape == graph.types[node.outputs[0]].shape
    if node.op == "Pad":
        pads = graph.constants.get(node.input(1))
        return pads is not None and not np.any(pads)
    if node.op == "Slice":
        return _whole([graph.constants.get(i) if i else None for i in node.inputs])
    return False


def _whole(inputs: list[Array | None]) -> bool:
    """Whether a Slice (x, starts, ends, axes, steps) begins at 0, ends beyond every size, and leaves nothing out."""
    starts, ends, steps = inputs[1], inputs[2], inputs[4] if len(inputs) > 4 else np.ones(1)
    if starts is None or ends is None or steps is None:
        return False
    return bool(np.all(starts == 0) and np.all(ends >= np.iinfo(np.int32).max) and np.all(steps == 1))


def _without_neutral(graph: Graph, node: Node) -> str | None:
    for value, other in (node.inputs, node.inputs[::-1]):
        c, shape = graph.constants.get(other), graph.types[value].shape
        if c is None or value in graph.constants or shape is None or (other != node.inputs[1] and not node.has(COMMUTATIVE)):
            continue
        if c.size == 1 and c.ndim <= len(shape) and c.reshape(-1)[0] == node.definition.neutral:
            return value
    return None
