"""Branches whose condition is known are decided, before anything else is simplified.

1. A Select by a constant condition, or of one value twice, is the value that it takes.
2. The shape of a value whose shape is known is a constant, and so is one of its dimensions where that one is.
3. A value of unknown rank gets the shape that follows from what is before it, which a decided Select may have made
   known.

It is no rewrite: what one decision makes known of shapes is carried through the whole graph, and decides the next.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import Array, DType, Graph, Node, TensorType
from ..graph.dead import remove_dead
from ..graph.select_op import SELECT, has_branches, side, truth
from ..ops.traits import SHAPE_ONLY
from ..reference.float_shape import slice_index
from ..reference.refine import refine
from .constants import fold_constants


def decide_branches(graph: Graph) -> Graph:
    """The graph with as few Selects as constants and shapes leave; a graph that has none is returned as it is."""
    if not has_branches(graph):
        return graph
    before = -1
    while before != len(graph.nodes):
        before = len(graph.nodes)
        graph = remove_dead(_decided(fold_constants(_shapes(refine(graph)))))
    return graph


def assume(graph: Graph, conditions: Mapping[str, bool]) -> Graph:
    """The graph for inputs that make the conditions so."""
    constants, types, new = dict(graph.constants), dict(graph.types), dict[str, str]()
    for name, value in conditions.items():
        new[name] = f"{name}.assumed"
        constants[new[name]] = np.array(value)
        types[new[name]] = TensorType(DType.BOOL, ())
    nodes = [
        n.with_(inputs=(new.get(n.inputs[0], n.inputs[0]), *n.inputs[1:])) if n.op == SELECT else n for n in graph.nodes
    ]
    return graph.with_(nodes=tuple(nodes), constants=constants, types=types)


def _decided(graph: Graph) -> Graph:
    outputs, alias, nodes, types = set(graph.outputs), dict[str, str](), list[Node](), dict(graph.types)
    for node in graph.nodes:
        node = node.with_(inputs=tuple(alias.get(i, i) for i in node.inputs))
        value = _taken(graph, node) if node.op == SELECT else None
        if value is None:
            nodes.append(node)
        elif node.outputs[0] in outputs:
            types[node.outputs[0]] = types[value]
            nodes.append(Node("Identity", (value,), node.outputs, {}, node.name))
        else:
            alias[node.outputs[0]] = value
    return graph.with_(nodes=tuple(nodes), types=types)


def _taken(graph: Graph, node: Node) -> str | None:
    condition = graph.constants.get(node.inputs[0])
    if condition is not None and condition.size == 1:
        return side(node, truth(condition))
    return node.inputs[1] if node.inputs[1] == node.inputs[2] else None


def _shapes(graph: Graph) -> Graph:
    """Rule 2."""
    constants, types, nodes, outputs = dict(graph.constants), dict(graph.types), list[Node](), set(graph.outputs)
    dims: dict[str, tuple[int | str, ...]] = {}
    for node in graph.nodes:
        if node.op == "Shape" and (rank := graph.types[node.inputs[0]].rank) is not None:
            types[node.outputs[0]] = TensorType(DType.I64, (len(range(rank)[node.attr("start") : node.attr("end")]),))
        found = _constant(graph, node, dims)
        if found is None or node.outputs[0] in outputs:
            nodes.append(node)
            continue
        constants[node.outputs[0]] = found
        types[node.outputs[0]] = TensorType(DType.of(found.dtype), found.shape)
    return graph.with_(nodes=tuple(nodes), constants=constants, types=types)


def _constant(graph: Graph, node: Node, dims: dict[str, tuple[int | str, ...]]) -> Array | None:
    """What a node makes of a shape, where that is known; `dims` collects the shapes that are values."""
    t = graph.types[node.inputs[0]] if node.has(SHAPE_ONLY) else TensorType(DType.F32)
    shape = t.shape
    if node.op == "Size" and t.is_static:
        return np.array(np.prod(t.static_shape, dtype=np.int64))
    if node.op == "Shape" and shape is not None:
        picked = shape[node.attr("start") : node.attr("end")]
    elif node.inputs and node.inputs[0] in dims:
        source = dims[node.inputs[0]]
        rest = [graph.constants.get(i) if i else None for i in node.inputs]
        if any(c is None and i for c, i in zip(rest[1:], node.inputs[1:], strict=True)):
            return None
        if node.op == "Slice":
            picked = source[slice_index((len(source),), rest)[0]]
        else:
            index = rest[1] if node.op == "Gather" else None
            if index is None:
                return None
            flat = [int(k) for k in index.reshape(-1)]
            if any(not -len(source) <= k < len(source) for k in flat):
                return None
            chosen = [source[k] for k in flat]
            return np.array(chosen, np.int64).reshape(index.shape) if all(isinstance(d, int) for d in chosen) else None
    else:
        return None
    if all(isinstance(d, int) for d in picked):
        return np.array(picked, np.int64)
    dims[node.outputs[0]] = picked
    return None
