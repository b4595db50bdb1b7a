"""What each value is needed as: quantized, float, or not at all; and which clamps their producers fuse.

1. A float node needs its inputs as float; an int8 node needs its data inputs quantized, and a Select its condition as it is.
2. A value that is a function of a root (pointwise.py) needs the root quantized, and the nodes between are not needed.
3. A clamp whose root nothing else needs is fused: the root's producer writes the clamp's value, limited to its interval.
4. A product or an average that is needed only as float gives float itself: the accumulator is never rounded to 8 bits. Without
   `float_outputs` those that are outputs of the graph are rounded to 8 bits first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..graph import Graph, Node
from ..graph.select_op import SELECT
from ..ops.traits import ACCUMULATES, ARITHMETIC, RANK_PRESERVING
from .plan import Plan


@dataclass(slots=True)
class PrecisionUses:
    """quantized / real: values needed so. fused_clamps: root -> the clamp's value that its producer writes in its place."""

    quantized: set[str] = field(default_factory=set)
    real: set[str] = field(default_factory=set)
    fused_clamps: dict[str, str] = field(default_factory=dict)


def data_inputs(graph: Graph, node: Node) -> list[str]:
    """The inputs that an int8 node reads as quantized activations."""
    if node.op == SELECT:
        return list(node.inputs[1:])
    if node.has(ARITHMETIC) or node.op == "Concat" or (node.op == "MatMul" and node.inputs[1] not in graph.constants):
        return list(node.inputs)
    return [node.inputs[0]]


def _gives_float(node: Node, plan: Plan) -> bool:
    return node.name in plan.int8 and node.has(ACCUMULATES)


def find_precision_uses(graph: Graph, plan: Plan, float_outputs: bool) -> PrecisionUses:
    """The uses of every value of a float graph. float_outputs: of `QuantConfig`, see rule 4."""
    producers = graph.producers()
    needs = PrecisionUses(real=set(graph.outputs))
    if not float_outputs:
        needs.quantized = {o for o in graph.outputs if o in producers and _gives_float(producers[o], plan)}
    readers: dict[str, set[str]] = {}
    for node in reversed(graph.nodes):
        if not any(o in needs.quantized or o in needs.real for o in node.outputs):
            continue
        output = node.outputs[0]
        if node.name not in plan.int8:
            needs.real |= {i for i in node.inputs if i and i not in graph.constants}
            for i in node.inputs:
                readers.setdefault(i, set()).add(node.name)
            continue
        if node.op == SELECT and node.inputs[0] not in graph.constants:
            needs.real.add(node.inputs[0])
            readers.setdefault(node.inputs[0], set()).add(node.name)
        if node.op == "LSTM":
            needs.real |= {node.input(k) for k in (5, 6)} - {""} - set(graph.constants)
        function = plan.functions.get(output)
        sources = [function.root] if function is not None else data_inputs(graph, node)
        needs.quantized |= set(sources)
        for s in sources:
            readers.setdefault(s, set()).add(node.name)
    for value, function in plan.functions.items():
        if value not in needs.quantized | needs.real or not function.is_clamp or function.axis is not None:
            continue
        producer = producers.get(function.root)
        alone = readers.get(function.root, set()) == {producers[value].name} and function.root not in graph.outputs
        plain = producer is not None and producer.name in plan.int8 and function.root not in plan.functions
        if alone and plain and producer is not None and (producer.has(ACCUMULATES) or producer.has(ARITHMETIC)):
            needs.fused_clamps[function.root] = value
            needs.quantized.discard(function.root)
    return needs


def classifier_tail(graph: Graph, int8: frozenset[str]) -> set[str]:
    """int8 nodes between the last product or average and an output of rank at most 2: score vectors, whose order must not be lost."""
    producers = graph.producers()
    tail: set[str] = set()
    pending = [o for o in graph.outputs if (r := graph.types[o].rank) is not None and r <= 2]
    while pending:
        node = producers.get(pending.pop())
        if node is not None and node.name in int8 and node.has(RANK_PRESERVING):
            tail.add(node.name)
            pending.append(node.inputs[0])
    return tail
