"""Parameters of every value, and nodes that stay float because theirs would not do: until none is left."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Node
from ..ops.traits import ACCUMULATES, PRODUCT
from .assign import assign
from .channel_scales import without_channel_scales
from .float_islands import propagate_float
from .int16 import without_int16_form
from .precision_uses import data_inputs, find_precision_uses
from .qdq import moves
from .reach import beyond_int32
from .state import QuantState
from .stored import factors_of, kept_integers, overflow


def choose_ranges(state: QuantState) -> QuantState:
    """What each value is needed as, and the parameters of those needed quantized: from what was seen of them, or the
    model's own.

    Nodes become float that lack parameters, whose integers cannot be kept, or whose sums could leave int32.
    """
    while state.chosen_for != state.int8:
        state = replace(state, uses=find_precision_uses(state), chosen_for=state.int8)
        state = replace(state, quants=assign(state) if state.calibrated else state.model_quants)
        unfit = {} if state.calibrated else _lacking(state) or without_channel_scales(state) or _not_kept(state)
        state = propagate_float(state.kept_float(unfit or without_int16_form(state) or beyond_int32(state)))
    return state


def _lacking(state: QuantState) -> dict[str, str]:
    reason = "the model gives a value that it reads or writes no int8 parameters"
    return {n.name: reason for n in filter(state.is_int8, state.graph.nodes) if _lacks(state, n)}


def _lacks(state: QuantState, node: Node) -> bool:
    """Whether a value that the node would read or write as int8 has no parameters, or the two sides of a move differ in
    theirs.

    A product or an average gives float just as well: where its result lacks them, the reader or the clamp that asks for
    integers is what stays float."""
    uses, quants = state.uses, state.quants
    if node.outputs[0] in uses.clamped:
        return node.outputs[0] not in quants
    if not any(o in uses.wanted for o in node.outputs):
        return False
    function = state.functions.get(node.outputs[0])
    outputs = [uses.target(o) for o in node.outputs if o in uses.wanted]
    sources = [function.root] if function else data_inputs(state.graph, node)
    if any(s not in quants for s in sources):
        return True
    if node.op == "ArgMax" or node.has(ACCUMULATES):
        return False
    if any(o not in quants for o in outputs):
        return True
    return (
        function is None
        and moves(node)
        and node.op != "Concat"
        and any(quants[o] != quants[sources[0]] for o in outputs)
    )


def _not_kept(state: QuantState) -> dict[str, str]:
    """Nodes of which int8 products cannot have the weights that the model gives, and why."""
    reasons, floats = {}, "its weights are floats in the model"
    for node in filter(state.is_int8, state.graph.nodes):
        weights = node.inputs[1] if node.has(PRODUCT) else ""
        if node.op == "LSTM" or (weights in state.graph.constants and weights not in state.constants):
            reasons[node.name] = floats
        elif weights in state.constants:
            x, y = state.quants[node.inputs[0]][1], state.uses.target(node.outputs[0])
            kept = kept_integers(state.graph, state.constants, node, x, factors_of(state, node))
            out = state.quants[y][1] if y in state.uses.stored else None
            reason = overflow(node, kept, x, out) if isinstance(kept, tuple) else kept
            if reason is not None:
                reasons[node.name] = reason
    return reasons
