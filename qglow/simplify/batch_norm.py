"""A BatchNormalization that no product takes in is a per-channel Mul and Add: x * a + c."""

from __future__ import annotations

import numpy as np

from ..graph import DType, Graph, Node, TensorType


def split_batch_norm(graph: Graph) -> Graph:
    nodes: list[Node] = []
    constants, types = dict(graph.constants), dict(graph.types)
    for node in graph.nodes:
        rank = graph.types[node.inputs[0]].rank if node.op == "BatchNormalization" else None
        if rank is None or not all(i in constants for i in node.inputs[1:5]):
            nodes.append(node)
            continue
        scale, bias, mean, var = (constants[i].astype(np.float64) for i in node.inputs[1:5])
        a = scale / np.sqrt(var + node.attr("epsilon"))
        y, shape = node.outputs[0], (-1, *(1,) * (rank - 2))
        for name, array in ((f"{y}.factor", a), (f"{y}.offset", bias - mean * a)):
            constants[name] = array.astype(np.float32).reshape(shape)
            types[name] = TensorType(DType.F32, constants[name].shape)
        types[f"{y}.scaled"] = types[y]
        nodes.append(Node("Mul", (node.inputs[0], f"{y}.factor"), (f"{y}.scaled",), {}, f"{node.name}.scale"))
        nodes.append(Node("Add", (f"{y}.scaled", f"{y}.offset"), (y,), {}, node.name))
    return graph.with_(nodes=tuple(nodes), constants=constants, types=types)
