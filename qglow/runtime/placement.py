"""Where each node of a quantized graph runs for given shapes: in a kernel, on the host, or nowhere, because the shapes
say what it gives or a branch is not taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from ..graph import Graph, Node
from ..graph.dead import remove_dead
from ..graph.infer import Typed, Undecided
from ..graph.stages import cut
from ..instructions.lower import lower
from ..instructions.program import HostCall
from ..instructions.select import FLOAT_RULES, INT16_RULES, RULES
from ..record import NamedTuple
from ..reference import retype_known
from ..targets import choose

BEHIND = "its shape depends on data"
UNFIT = "no kernel for its dtype, shape or attributes"
Shapes = Mapping[str, tuple[int, ...]]
T = TypeVar("T")


class Placement(NamedTuple):
    """graph: with the types that the shapes give. run: its nodes that a run computes, by name.
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
    return assuming(_placement, graph, shapes, {})


def assuming(make: Callable[[Typed, dict[str, bool]], T], graph: Graph, shapes: Shapes, decided: dict[str, bool]) -> T:
    """make(graph with the types that the shapes give, conditions that were assumed for it). A condition that depends on
    data is taken as true, or as false where nothing fits the shapes otherwise."""
    try:
        return make(retype_known(graph, shapes, decided), decided)
    except Undecided as undecided:
        condition = undecided.condition
    try:
        return assuming(make, graph, shapes, {**decided, condition: True})
    except Exception:  # NOTE: a branch for other inputs fails on these in whatever op meets them first
        return assuming(make, graph, shapes, {**decided, condition: False})


def _placement(typed: Typed, decided: dict[str, bool]) -> Placement:
    part = cut(typed)
    steps = lower(part.first, choose()[0].name).steps
    host = {s.node.name: s.reason or _why(s.node, UNFIT) for s in steps if isinstance(s, HostCall)}
    host |= {n.name: _why(n, BEHIND) for n in part.host}
    later = part.rest.nodes if part.rest is not None else ()
    run = {n.name: n for n in (*remove_dead(part.first).nodes, *part.host, *later)}
    return Placement(part.full_graph, run, host, frozenset(n.name for n in later), decided)


def _why(node: Node, otherwise: str) -> str:
    """Why a node has no kernel, in words: its op has none, or what `otherwise` says."""
    known = any(table.get(node.op) is not None for table in (RULES, FLOAT_RULES, INT16_RULES))
    return otherwise if known else f"op {node.operator} has no kernel"
