"""Which values are int16: those that the configuration names, and what must agree with them; and what cannot read or
make them.

1. `activations = "int16"` names every value. An entry of `int16` that names a node (or `op:TYPE`, `re:PATTERN`) names
   what that node reads and writes, of a function of one tensor what the function does; one that names a value names it
   alone.
2. Values that share their parameters (assign.py) are int16 where one of them is, and so are constants that are summed
   up with int16.
3. An int16 range reaches from the least to the largest value that was seen: its steps are too fine to cut ends for.
4. Where a node reads or makes int16, it computes on int16: what it reads of 8 bits is widened without loss
   (convert.py).
"""

from __future__ import annotations

from ..graph import DType, Node
from ..ops.traits import ARITHMETIC, CONVOLUTION
from .precision_uses import data_inputs
from .state import QuantState

_FORMS = ("product", "arithmetic", "mean", "moves", "select")  # rules of types (graph/type_rules.py) that take int16


def named_values(state: QuantState) -> set[str]:
    """Rule 1, by the names under which values exist quantized."""
    graph, config = state.graph, state.config
    if config.activations == "int16":
        found = {v for v, t in graph.types.items() if t.dtype.is_float}
    else:
        found = {p for p in config.int16 if p in graph.types}
        nodes = {n.name: n for n in graph.nodes if config.is_int16(n)}
        for node in nodes.values():
            found |= {*data_inputs(graph, node), *node.outputs} if node.inputs else {*node.outputs}
        for f in state.functions.values():
            found |= {f.root, f.output} if any(n.name in nodes for n in f.nodes) else set()
    return {state.uses.target(v) for v in found}


def summed_constants(state: QuantState, wide: set[str]) -> set[str]:
    """Rule 2: constants beside int16 values in a sum or product of two tensors."""
    sums = [
        n for n in filter(state.is_int8, state.graph.nodes) if n.has(ARITHMETIC) and n.outputs[0] not in state.functions
    ]
    beside = [n for n in sums if not wide.isdisjoint((*n.inputs, *map(state.uses.target, n.outputs)))]
    return {i for n in beside for i in n.inputs if i in state.graph.constants}


def touches_int16(state: QuantState, node: Node) -> bool:
    """Whether a quantized node reads or makes int16 values."""
    function = state.functions.get(node.outputs[0])
    reads = [function.root] if function is not None else data_inputs(state.graph, node)
    values = (*reads, *map(state.uses.target, node.outputs))
    return any(v in state.quants and state.quants[v][0] is DType.I16 for v in values)


def without_int16_form(state: QuantState) -> dict[str, str]:
    """Why nodes that would read or make int16 stay float, by node name."""
    if not any(dtype is DType.I16 for dtype, _ in state.quants.values()):
        return {}
    used = [n for n in filter(state.is_int8, state.graph.nodes) if any(o in state.uses.wanted for o in n.outputs)]
    reasons = {n.name: _obstacle(state, n) for n in used if touches_int16(state, n)}
    return {name: reason for name, reason in reasons.items() if reason}


def _obstacle(state: QuantState, node: Node) -> str:
    function = state.functions.get(node.outputs[0])
    if function is not None:
        return (
            ""
            if function.axis is None
            else "its function varies along an axis, and a table of int16 serves all channels"
        )
    if node.op == "MatMul" and node.inputs[1] not in state.graph.constants:
        return "a product of two tensors has no int16 form: int32 holds no sum of products of 16 bits by 16"
    if node.has(CONVOLUTION) and state.graph.constants[node.inputs[1]].ndim == 5:
        return "a 3-D convolution has no int16 form"
    return "" if node.definition.typing in _FORMS or node.op == "Resize" else f"{node.operator} has no int16 form"
