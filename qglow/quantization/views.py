"""Nodes that only move data stay float where int8 would gain nothing but a rounding.

1. What comes from no int8 result, and is read by no int8 arithmetic: a state that goes by, a float result that is put together.
2. A view of what a float node makes: the rounding comes after it. Copies too, where something else reads the value in float.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..graph import Graph, Node
from ..graph.select_op import SELECT
from ..ops.traits import NEVER_QUANTIZED_OUTPUT, RESHAPE, VIEW
from .plan import Plan
from .pointwise import Function
from .precision_uses import data_inputs


def float_views(graph: Graph, plan: Plan) -> dict[str, str]:
    """int8 nodes that should stay float, and why."""
    moves = [n for n in graph.nodes if n.name in plan.int8 and (n.has(VIEW) or n.op == SELECT) and n.outputs[0] not in plan.functions]
    names = {n.name for n in moves}
    made, read = _arithmetic(graph, plan, names)
    for node in moves:
        if made & set(node.inputs):
            made |= set(node.outputs)
    for node in reversed(moves):
        if read & set(node.outputs):
            read |= set(data_inputs(graph, node))
    aside = {n.name for n in moves if not made & set(n.inputs) and not read & set(n.outputs)}
    reasons = dict.fromkeys(aside, "no int8 result comes to it, and no int8 arithmetic reads it")
    makers, in_float = graph.producers(), _read_in_float(graph, plan, aside)
    for node in moves:
        maker = makers.get(node.inputs[0])
        if node.name in reasons or node.op == SELECT or maker is None or made & set(node.inputs):
            continue
        is_float = maker.name not in plan.int8 or maker.name in reasons or maker.op == "LSTM"
        if is_float and (node.has(RESHAPE) or in_float & set(node.outputs)):
            reasons[node.name] = "what it reads is made in float: it is rounded after it"
            in_float |= set(node.inputs)
    return reasons


def _arithmetic(graph: Graph, plan: Plan, moves: set[str]) -> tuple[set[str], set[str]]:
    """Values that int8 nodes other than moves make, and those that they read."""
    made: set[str] = set()
    read: set[str] = set()
    for node in graph.nodes:
        if node.name in plan.int8 and node.name not in moves:
            made |= set() if node.has(NEVER_QUANTIZED_OUTPUT) else set(node.outputs)
            read |= _sources(graph, plan.functions, node)
    return made, read


def _sources(graph: Graph, functions: Mapping[str, Function], node: Node) -> set[str]:
    function = functions.get(node.outputs[0])
    return {function.root} if function is not None else set(data_inputs(graph, node))


def _read_in_float(graph: Graph, plan: Plan, aside: set[str]) -> set[str]:
    """Outputs, and what float nodes read, or int8 nodes beside their data."""
    found = set(graph.outputs)
    for node in graph.nodes:
        if node.name not in plan.int8 or node.name in aside:
            found |= set(node.inputs)
        elif node.op == "LSTM":
            found |= set(node.inputs[5:7])
    return found
