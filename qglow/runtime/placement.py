"""Where each node of a quantized graph runs for given shapes: in a kernel, on the host, or nowhere because the shapes
say what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..graph import Graph, Node
from ..graph.dead import remove_dead
from ..graph.infer import Typed, Undecided
from ..graph.stages import cut
from ..instructions.lower import lower
from ..instructions.program import HostCall
from ..instructions.select import FLOAT_RULES, INT16_RULES, RULES
from ..reference import retype_known
from ..targets import choose

BEHIND = "its shape depends on data"
Shapes = Mapping[str, tuple[int, ...]]


class Placement(NamedTuple):
    """graph: with the types that the shapes give. run: its nodes that a run computes, by name; others are constants.
    host: why a node runs on the host, by its name. unknown: nodes behind a shape that depends on data, of which nothing
    is known until it is there. assumed: what was taken for conditions that depend on data."""

    graph: Graph
    run: Mapping[str, Node]
    host: Mapping[str, str]
    unknown: frozenset[str]
    assumed: Mapping[str, bool]


def symbolic_as_one(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The declared shapes of the inputs, 1 for symbolic dimensions."""
    return {i: tuple(d if isinstance(d, int) else 1 for d in graph.types[i].shape or ()) for i in graph.inputs}


def place_nodes(graph: Graph, shapes: Shapes) -> Placement:
    """Where the nodes of a graph run. A condition that depends on data is taken as true, or as false where nothing fits
    the shapes otherwise. Raises what the first op raises that does not take the shapes, QGlowError or not."""
    return _placed(graph, shapes, {})


def _placed(graph: Graph, shapes: Shapes, decided: dict[str, bool]) -> Placement:
    try:
        return _placement(retype_known(graph, shapes, decided), decided)
    except Undecided as undecided:
        condition = undecided.condition
    try:
        return _placed(graph, shapes, {**decided, condition: True})
    except Exception:  # NOTE: a branch for other inputs fails on these in whatever op meets them first
        return _placed(graph, shapes, {**decided, condition: False})


def _placement(typed: Typed, decided: dict[str, bool]) -> Placement:
    part = cut(typed)
    host = {s.node.name: _why(s) for s in lower(part.first, choose()[0].name).steps if isinstance(s, HostCall)}
    host |= {n.name: BEHIND for n in part.host}
    later = part.rest.nodes if part.rest is not None else ()
    run = {n.name: n for n in (*remove_dead(part.first).nodes, *part.host, *later)}
    return Placement(part.full_graph, run, host, frozenset(n.name for n in later), decided)


def _why(step: HostCall) -> str:
    """Why a node has no kernel, in words."""
    if step.reason:
        return step.reason
    known = any(table.get(step.node.op) is not None for table in (RULES, FLOAT_RULES, INT16_RULES))
    return "no kernel for its dtype, shape or attributes" if known else f"op {step.node.operator} has no kernel"
