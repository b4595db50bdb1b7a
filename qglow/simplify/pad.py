"""A zero Pad of spatial axes before a Conv becomes the convolution's own padding."""

from __future__ import annotations

import numpy as np

from ..graph import Graph, Node
from ..reference.float_shape import pad_widths


def fold_pads(graph: Graph) -> Graph:
    producers, consumers = graph.producers(), graph.consumers()
    nodes: list[Node] = []
    for node in graph.nodes:
        pad = producers.get(node.inputs[0]) if node.op == "Conv" else None
        widths = _zero_spatial_pad(graph, pad) if pad is not None and len(consumers[node.inputs[0]]) == 1 else None
        if widths is None or pad is None or node.attr("auto_pad") not in ("NOTSET", "VALID"):
            nodes.append(node)
            continue
        n = len(widths)
        old = node.attr("pads") or (0,) * (2 * n)
        pads = [old[k] + widths[k][0] for k in range(n)] + [old[n + k] + widths[k][1] for k in range(n)]
        nodes.append(node.with_(inputs=(pad.inputs[0], *node.inputs[1:])).with_attributes(pads=tuple(pads), auto_pad=None))
    return graph.with_(nodes=tuple(nodes))


def _zero_spatial_pad(graph: Graph, pad: Node) -> list[tuple[int, int]] | None:
    rank = graph.types[pad.inputs[0]].rank if pad.op == "Pad" else None
    if rank is None or pad.attr("mode") != "constant" or pad.outputs[0] in graph.outputs:
        return None
    inputs = [graph.constants.get(i) if i else None for i in pad.inputs]
    value = inputs[2] if len(inputs) > 2 else None
    if inputs[1] is None or (pad.input(3) and inputs[3] is None) or (pad.input(2) and (value is None or np.any(value != 0))):
        return None
    try:
        widths = pad_widths(rank, [*inputs, None, None][:4])
    except ValueError:  # whoever computes its shape says what is wrong with it
        return None
    if any(w != (0, 0) for w in widths[:2]) or any(min(w) < 0 for w in widths):
        return None
    return widths[2:]
