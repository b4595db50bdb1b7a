"""What stays float beside a float node, because an early rounding would cost more than a conversion saves.

1. A function of what a float node makes: then its result is rounded once, and not its input before.
2. The scores of a classifier between the last product or average and an output of rank at most 2: their order must not
   be lost.
"""

from __future__ import annotations

from ..ops.traits import RANK_PRESERVING
from .state import QuantState, by_gain


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
