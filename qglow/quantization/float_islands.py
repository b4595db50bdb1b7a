"""What stays float beside a float node, because an early rounding would cost more than a conversion saves.

1. A function of what a float node makes: then its result is rounded once, and not its input before.
2. The scores of a classifier between the last product or average and an output of rank at most 2: their order must not
   be lost.
3. A function of a product or an average that is an output by itself, with views between, where the graph has WORK
   multiply-adds for each of its elements: the product gives floats as well, and what a float function takes longer is a
   hundredth of the time or less.
"""

from __future__ import annotations

from math import prod
from typing import Final

from ..graph import Graph, Node
from ..graph.multiply_adds import multiply_adds
from ..ops.traits import ACCUMULATES, RANK_PRESERVING, VIEW
from .pointwise import Function
from .state import QuantState, by_gain

WORK: Final = 8000  # NOTE: an element of a float function takes as long as 80 multiply-adds of int8


@by_gain
def propagate_float(state: QuantState) -> QuantState:
    """Rule 1."""
    producers, reasons = state.graph.producers(), dict[str, str]()
    for node in filter(state.is_int8, state.graph.nodes):
        function = state.functions.get(node.outputs[0])
        maker = producers.get(function.root) if function is not None else None
        if (
            maker is not None
            and not state.config.included(node)
            and (not state.is_int8(maker) or maker.name in reasons)
        ):
            reasons[node.name] = "what it reads is made in float: its result is rounded instead"
    return state.kept_float(reasons)


@by_gain
def keep_scores_float(state: QuantState) -> QuantState:
    """Rule 2."""
    if not state.config.float_outputs:
        return state
    graph, producers, tail = state.graph, state.graph.producers(), dict[str, str]()
    pending = [o for o in graph.outputs if (r := graph.types[o].rank) is not None and r <= 2]
    while pending:
        node = producers.get(pending.pop())
        if node is not None and node.op == "Cast" and all(graph.types[v].dtype.is_float for v in node.inputs):
            pending.append(node.inputs[0])  # NOTE: the scores in another float dtype
        elif node is not None and state.is_int8(node) and node.has(RANK_PRESERVING):
            tail[node.name] = "scores of a classifier stay float, so that their order is kept"
            pending.append(node.inputs[0])
    return state.kept_float(tail)


@by_gain
def keep_last_functions_float(state: QuantState) -> QuantState:
    """Rule 3."""
    graph, reasons = state.graph, dict[str, str]()
    if not state.config.float_outputs:
        return state
    work = sum(multiply_adds(graph, n) for n in graph.nodes)
    for output in graph.outputs:
        function, t = state.functions.get(output), graph.types[output]
        if function is None or not t.is_static or work < WORK * prod(t.static_shape):
            continue
        nodes = _from_a_product(state, function)
        if not any(state.config.included(n) for n in nodes):
            reasons |= dict.fromkeys((n.name for n in nodes), "it makes an output of what a product gives as floats")
    return state.kept_float(reasons)


def _from_a_product(state: QuantState, function: Function) -> tuple[Node, ...]:
    """The nodes of a function and the views before it, as far as they are read by it alone, up to an int8 product or
    average; none where they begin elsewhere."""
    graph, producers, consumers = state.graph, state.graph.producers(), state.graph.consumers()
    if consumers.get(function.output):
        return ()
    nodes, value = list(function.nodes), function.root
    while _is_read_by(graph, consumers, value, nodes) and (maker := producers.get(value)) is not None:
        if maker.has(ACCUMULATES):
            return tuple(nodes) if state.is_int8(maker) else ()
        if not maker.has(VIEW) or len(maker.outputs) != 1 or maker.op == "Concat":
            return ()
        nodes.append(maker)
        value = maker.inputs[0]
    return ()


def _is_read_by(graph: Graph, consumers: dict[str, list[Node]], value: str, nodes: list[Node]) -> bool:
    """Whether these nodes alone read a value."""
    names = {n.name for n in nodes}
    return value not in graph.outputs and all(n.name in names for n in consumers[value])
