"""Branches in a quantized graph: what calibration saw of them is quantized, and every other input runs right all the
same.

1. A Select whose sides have one rank stays; the nodes of a side that calibration did not reach have no ranges, and stay
   float.
2. A Select whose sides differ in rank would leave the rank of all that follows unknown. Where calibration saw it taken
   in one way alone, that way is assumed (simplify/assume_branches.py), and its graph is quantized as a whole. Beside it
   stands the float graph, and a Select an output by the condition, which is computed as the model computes it: inputs
   that do otherwise than calibration run in float.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..graph import Graph, GraphBuilder, Node
from ..graph.dead import remove_dead
from ..graph.select_op import SELECT
from ..ops.traits import SHAPE_ONLY
from .state import Decision, QuantState


def guard_branches(state: QuantState) -> QuantState:
    """Rule 2: the quantized graph for all inputs, where the float one holds for those alone that go the way that was
    assumed."""
    way = state.branches
    if way is None or not way.assumed:
        return state
    known, full_graph = {d.node for d in state.decisions}, way.full_graph
    others = [
        Decision(n.name, n.operator, "float", "not reached in calibration")
        for n in full_graph.nodes
        if n.name not in known and n.op != SELECT and any(full_graph.types[o].dtype.is_float for o in n.outputs if o)
        and not any(o in way.graph.types for o in n.outputs)
    ]  # fmt: skip
    return replace(state, graph=_guarded(state.graph, full_graph, way.assumed), decisions=(*state.decisions, *others))


def _guarded(quantized: Graph, graph: Graph, assumed: Mapping[str, bool]) -> Graph:
    """Both graphs, and the outputs by the conditions."""
    b = GraphBuilder(quantized)
    made = quantized.producers()
    new = {o: b.fresh(f"{o}.taken") for o in quantized.outputs if o in made}
    b.types |= {new[o]: quantized.types[o] for o in new}
    for node in quantized.nodes:
        b.append(
            node.with_(
                inputs=tuple(new.get(i, i) for i in node.inputs), outputs=tuple(new.get(o, o) for o in node.outputs)
            )
        )
    other = _copied(b, quantized, graph, new)
    for o in new:
        value = new[o]
        for k, (condition, way) in reversed(list(enumerate(assumed.items()))):
            sides = (value, other[o]) if way else (other[o], value)
            value = o if not k else b.fresh(f"{o}.taken")
            b.types[value] = graph.types[o]
            b.append(Node(SELECT, (other[condition], *sides), (value,), {}, b.fresh(f"{value}:{SELECT}")))
    guarded = remove_dead(b.build(quantized.name, quantized.inputs, quantized.outputs))
    beside = {c: a for c, a in quantized.constants.items() if c.endswith(".factors")}  # NOTE: no node reads them
    types = {**guarded.types, **{c: quantized.types[c] for c in beside}}
    return guarded.with_(constants={**guarded.constants, **beside}, types=types)


def _copied(b: GraphBuilder, quantized: Graph, graph: Graph, new: Mapping[str, str]) -> dict[str, str]:
    """Add the nodes of `graph` under names of their own; names by those in `graph`.

    What the conditions take of a value's shape alone they take of the quantized value where it has one, and no branch
    lies before it.
    """
    name = {i: i for i in graph.inputs}
    for c, array in graph.constants.items():
        same = quantized.constants.get(c)
        shared = same is not None and same.dtype == array.dtype and np.array_equal(same, array)
        name[c] = (
            c
            if shared and quantized.types[c] == graph.types[c]
            else b.add_constant(f"{c}.other", array, graph.types[c])
        )
    made = {o for n in quantized.nodes for o in n.outputs}
    behind: set[str] = set()
    for node in graph.nodes:
        if node.op == SELECT or behind & set(node.inputs):
            behind |= set(node.outputs)
        inputs: Sequence[str] = [name[i] if i else "" for i in node.inputs]
        if node.has(SHAPE_ONLY) and node.inputs[0] not in behind:
            inputs = [next((new.get(v, v) for v in (node.inputs[0], f"{node.inputs[0]}.q") if v in made), inputs[0])]
        for o in filter(None, node.outputs):
            name[o] = b.fresh(f"{o}.other")
            b.types[name[o]] = graph.types[o]
        outputs = tuple(name[o] if o else "" for o in node.outputs)
        b.append(node.with_(inputs=tuple(inputs), outputs=outputs, name=b.fresh(f"{node.name}.other")))
    return name
