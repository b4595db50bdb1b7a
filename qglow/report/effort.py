"""How long the reference takes for values of a graph, estimated from shapes alone: what is decided by it is decided
alike on every machine and under any load, as it would not be by a clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ..graph import Array, Graph, Node
from ..graph.blocks import OP as BLOCKWISE
from ..graph.type_rules import channel_axis
from ..ops.traits import RECURRENT, WEIGHTED

# seconds: of a node's call, of an element that it makes, of a multiplication in a product
NODE, ELEMENT, PRODUCT = 20e-6, 5e-9, 0.1e-9
GATES = 4


def seconds_of(graph: Graph, made: Iterable[str], values: Mapping[str, Array]) -> float:
    """Estimated seconds in which the nodes that make the named values are evaluated. values: all of the graph's by
    name."""
    wanted, known = set(made), {**graph.constants, **values}
    return sum(_of_node(node, known) for node in graph.nodes if any(o in wanted for o in node.outputs))


def _of_node(node: Node, known: Mapping[str, Array]) -> float:
    elements = sum(known[o].size for o in node.outputs if o in known)
    return NODE + elements * (ELEMENT + PRODUCT * terms(node, known))


def terms(node: Node, known: Mapping[str, Array]) -> int:
    """Products that are summed to an element of the output; 0 for what is no product."""
    if not node.has(WEIGHTED) or any(i not in known for i in node.inputs[:2]):
        return 0
    x, w = (known[i].shape for i in node.inputs[:2])
    if node.has(RECURRENT):
        return GATES * (x[-1] + w[-2] // GATES)
    return (
        x[-1]
        if node.op == "MatMul" or node.op == BLOCKWISE
        else math.prod(w) // max(1, w[channel_axis(node, len(w)) or 0])
    )
