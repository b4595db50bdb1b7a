"""MatMul by a constant [K, N] or BlockwiseMatMul, then Add of a constant [N]: the sum becomes the product's input `bias`."""

from __future__ import annotations

from ..graph import Graph, Node
from ..graph.kinds import channel_axis
from ..ops.traits import ROW_PRODUCT


def fuse_matmul_bias(graph: Graph) -> Graph:
    consumers, outputs = graph.consumers(), set(graph.outputs)
    fused: dict[int, Node | None] = {}
    for node in graph.nodes:
        value = node.outputs[0]
        readers = consumers.get(value, [])
        if not node.has(ROW_PRODUCT) or len(readers) != 1 or readers[0].op != "Add" or value in outputs:
            continue
        place, axis = len(node.definition.operands) - 1, channel_axis(node, 2)
        if axis is None or node.input(place):
            continue
        add, w = readers[0], graph.constants.get(node.inputs[1])
        other = add.inputs[1] if add.inputs[0] == value else add.inputs[0]
        bias = graph.constants.get(other)
        if w is None or bias is None or w.ndim != 2 or bias.size != w.shape[axis] or bias.shape[-1:] != (w.shape[axis],):
            continue
        rank = graph.types[value].rank
        if rank is None or bias.ndim > rank:
            continue
        flat = f"{add.outputs[0]}.bias"
        constants, types = {**graph.constants, flat: bias.reshape(-1)}, dict(graph.types)
        types[flat] = types[other].__class__(types[other].kind, (bias.size,))
        graph = graph.with_(constants=constants, types=types)
        inputs = (*node.inputs, "", "")[:place]
        fused[id(node)], fused[id(add)] = None, node.with_(inputs=(*inputs, flat), outputs=add.outputs)
    nodes = [fused.get(id(n), n) for n in graph.nodes]
    return graph.with_(nodes=tuple(n for n in nodes if n is not None))
