"""Lengths of the entries of a recurrent layer as a mask of its steps: computed once for a layer, on the host, which
refuses lengths that are none."""

from __future__ import annotations

from ..graph import DType, Graph, Node, TensorType
from ..ops import OPS
from ..ops.traits import RECURRENT

LENGTHS = 4  # the operand


def with_masks(graph: Graph) -> Graph:
    """The graph with `SequenceMask` of the lengths that layers read in their place; constants too."""
    nodes: list[Node] = []
    types = dict(graph.types)
    for node in graph.nodes:
        lengths = node.input(LENGTHS) if node.has(RECURRENT) and _takes_lengths(node) else ""
        if lengths and graph.types[lengths].rank == 1 and graph.types[node.inputs[0]].is_static:
            steps, batch = graph.types[node.inputs[0]].static_shape[:2]
            mask = f"{lengths}.mask{steps}"
            if mask not in types:
                types[mask] = TensorType(DType.BOOL, (steps, batch))
                nodes.append(Node("SequenceMask", (lengths,), (mask,), {"steps": steps}, mask))
            node = node.with_(inputs=(*node.inputs[:LENGTHS], mask, *node.inputs[LENGTHS + 1 :]))
        nodes.append(node)
    return graph if len(nodes) == len(graph.nodes) else graph.with_(nodes=tuple(nodes), types=types)


def _takes_lengths(node: Node) -> bool:
    """Whether the operand is that of the lengths: a quantized layer has others."""
    return OPS[node.op].operands[LENGTHS].name == "sequence_lens"
