"""The text of a state between passes, for dumps: what two runs decided otherwise is a line of their difference."""

from __future__ import annotations

from collections.abc import Iterator

from ..graph.text import print_graph, print_type
from ..graph.types import TensorType
from .state import QuantState


def print_state(state: QuantState, with_graph: bool) -> str:
    """Precision of every node with its reason, then what each value is needed as, its type and its factors; with_graph:
    the graph too."""
    lines = [*_nodes(state), *_values(state)]
    return "\n".join([*lines, ""]) + (print_graph(state.graph) if with_graph else "")


def _nodes(state: QuantState) -> Iterator[str]:
    if state.decisions:
        yield from (f"; {d.node}: {d.precision}" + (f", {d.reason}" if d.reason else "") for d in state.decisions)
        return
    for node in state.graph.nodes:
        function = state.functions.get(node.outputs[0])
        of = f", {function.describe()} of {function.root}" if function is not None else ""
        if node.name in state.int8:
            yield f"; {node.name}: int8{of}"
        elif node.name in state.reasons:
            yield f"; {node.name}: float, {state.reasons[node.name]}"


def _values(state: QuantState) -> Iterator[str]:
    uses = state.uses
    for value in () if state.decisions else state.graph.types:
        needed = [word for word, names in (("quantized", uses.quantized), ("float", uses.real)) if value in names]
        needed += [f"clamped as {uses.fused_clamps[value]}"] if value in uses.fused_clamps else []
        quant = state.quants.get(value)
        text = (
            f", {print_type(TensorType(quant[0], state.graph.types[value].shape, quant[1]))}"
            if quant is not None
            else ""
        )
        factors = f", factors {state.factors[value].ravel().round(4).tolist()}" if value in state.factors else ""
        if needed or quant is not None:
            yield f"; {value}: {' and '.join(needed) or 'not needed'}{text}{factors}"
