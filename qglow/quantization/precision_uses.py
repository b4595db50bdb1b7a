"""What each value is needed as: quantized, float, or not at all; and which clamps their producers fuse.

1. A float node needs its inputs as float; an int8 node needs its data inputs quantized, and all others, which are
   shapes, conditions and states, as they are.
2. A value that is a function of a root (pointwise.py) needs the root quantized, and the nodes between are not needed.
3. A clamp whose root nothing else needs is fused: the root's producer writes the clamp's value, limited to its
   interval.
4. A product or an average that is needed only as float gives float itself: the accumulator is never rounded to 8 bits.
   Without `float_outputs` those that are outputs of the graph are rounded to 8 bits first.
5. Where only its shape is read, a value is needed as whatever it is needed as otherwise, and as float if as nothing.
6. A value that a model which came quantized rounds is needed quantized, and no clamp is fused over it.
"""

from __future__ import annotations

from ..graph import Graph, Node
from ..graph.select_op import SELECT
from ..ops.traits import ACCUMULATES, ARITHMETIC, SHAPE_ONLY
from .state import PrecisionUses, QuantState


def data_inputs(graph: Graph, node: Node) -> list[str]:
    """The inputs that an int8 node reads as quantized activations."""
    if node.op == SELECT:
        return list(node.inputs[1:])
    if node.has(ARITHMETIC) or node.op == "Concat" or (node.op == "MatMul" and node.inputs[1] not in graph.constants):
        return list(node.inputs)
    return [node.inputs[0]]


def find_precision_uses(state: QuantState) -> PrecisionUses:
    """The uses of every value of a float graph."""
    graph, producers = state.graph, state.graph.producers()
    real, quantized = set(graph.outputs), set[str]()
    if state.calibrated and not state.config.float_outputs:
        made = [(o, producers[o]) for o in graph.outputs if o in producers]
        quantized = {o for o, n in made if state.is_int8(n) and n.has(ACCUMULATES)}
    readers: dict[str, set[str]] = {}
    measured = set[str]()
    for node in reversed(graph.nodes):
        real |= {o for o in node.outputs if o in measured and o not in quantized}
        if not any(o in quantized or o in real for o in node.outputs):
            continue
        if node.has(SHAPE_ONLY):
            measured |= set(node.inputs)
            continue
        if not state.is_int8(node):
            real |= {i for i in node.inputs if i and i not in graph.constants}
            sources = list(node.inputs)
        else:
            function, sources = state.functions.get(node.outputs[0]), data_inputs(graph, node)
            sources = [function.root] if function is not None else sources
            quantized |= set(sources)
            # NOTE: the shape of a Reshape, the condition of a Select, the states of an LSTM
            beside = set() if function is not None else {i for i in node.inputs if i not in sources}
            real |= {v for v in beside if v and v not in graph.constants}
            sources += beside if node.op == SELECT else ()
        for s in sources:
            readers.setdefault(s, set()).add(node.name)
    clamps: dict[str, str] = {}
    for value, function in state.functions.items():
        if (value not in quantized and value not in real) or not function.is_clamp or function.axis is not None:
            continue
        root, producer = function.root, producers.get(function.root)
        alone = (
            readers.get(root, set()) == {producers[value].name}
            and root not in graph.outputs
            and root not in state.rounded
        )
        plain = producer is not None and state.is_int8(producer) and root not in state.functions
        if alone and plain and producer is not None and (producer.has(ACCUMULATES) or producer.has(ARITHMETIC)):
            clamps[root] = value
            quantized.discard(root)
    return PrecisionUses(frozenset(quantized | state.rounded), frozenset(real), clamps)
