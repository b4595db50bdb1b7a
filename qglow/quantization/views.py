"""Nodes that only move data stay float where int8 would gain nothing but a rounding.

1. What comes from no int8 result, and is read by no int8 arithmetic: a state that goes by, a float result that is put
   together.
2. A view of what a float node makes: the rounding comes after it. Copies too, where something else reads the value in
   float.
"""

from __future__ import annotations

from ..graph.select_op import SELECT
from ..ops.traits import NEVER_QUANTIZED_OUTPUT, RESHAPE, VIEW
from .precision_uses import data_inputs
from .state import QuantState, by_gain


@by_gain
def keep_views_float(state: QuantState) -> QuantState:
    """Rules 1 and 2, but for nodes that the user includes."""
    nodes = {n.name: n for n in state.graph.nodes}
    return state.kept_float({n: r for n, r in _float_views(state).items() if not state.config.included(nodes[n])})


def _float_views(state: QuantState) -> dict[str, str]:
    graph = state.graph
    moves = [
        n
        for n in filter(state.is_int8, graph.nodes)
        if (n.has(VIEW) or n.op == SELECT) and n.outputs[0] not in state.functions
    ]
    names = {n.name for n in moves}
    made, read = _arithmetic(state, names)
    for node in moves:
        if made & set(node.inputs):
            made |= set(node.outputs)
    for node in reversed(moves):
        if read & set(node.outputs):
            read |= set(data_inputs(graph, node))
    aside = {n.name for n in moves if not made & set(n.inputs) and not read & set(n.outputs)}
    reasons = dict.fromkeys(aside, "no int8 result comes to it, and no int8 arithmetic reads it")
    makers, in_float = graph.producers(), _read_in_float(state, aside)
    for node in moves:
        maker = makers.get(node.inputs[0])
        if node.name in reasons or node.op == SELECT or maker is None or made & set(node.inputs):
            continue
        is_float = not state.is_int8(maker) or maker.name in reasons or maker.op == "LSTM"
        if is_float and (node.has(RESHAPE) or in_float & set(node.outputs)):
            reasons[node.name] = "what it reads is made in float: it is rounded after it"
            in_float |= set(node.inputs)
    return reasons


def _arithmetic(state: QuantState, moves: set[str]) -> tuple[set[str], set[str]]:
    """Values that int8 nodes other than moves make, and those that they read."""
    made: set[str] = set()
    read: set[str] = set()
    for node in filter(state.is_int8, state.graph.nodes):
        if node.name not in moves:
            function = state.functions.get(node.outputs[0])
            made |= set() if node.has(NEVER_QUANTIZED_OUTPUT) else set(node.outputs)
            read |= {function.root} if function is not None else set(data_inputs(state.graph, node))
    return made, read


def _read_in_float(state: QuantState, aside: set[str]) -> set[str]:
    """Outputs, and what float nodes read, or int8 nodes beside their data."""
    found = set(state.graph.outputs)
    for node in state.graph.nodes:
        if not state.is_int8(node) or node.name in aside:
            found |= set(node.inputs)
        elif node.op == "LSTM":
            found |= set(node.inputs[5:7])
    return found
