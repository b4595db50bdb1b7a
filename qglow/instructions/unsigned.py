"""Signed activations as unsigned ones with a zero point 128 higher: the same real numbers, for which the kernels are
written.

A stored i8 integer q becomes q + 128. Products and sums see q - z only; tables have the same order and move their
entries; limits and padding move along. Weights, which stand at a product's second place, stay signed, and so do the
inputs and outputs of the graph.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, DType, Graph, Node, Quant, TensorType
from ..ops.traits import WEIGHTED


def unsigned(graph: Graph) -> Graph:
    """The graph with u8 in place of i8 activations; the same object where there are none."""
    fixed = {*graph.inputs, *graph.outputs}
    fixed |= {i for n in graph.nodes if n.has(WEIGHTED) for i in n.inputs[1:] if i in graph.constants}
    moved = {
        v
        for v, t in graph.types.items()
        if t.dtype is DType.I8 and t.quant is not None and t.quant.axis is None and v not in fixed
    }
    if not moved or any(
        graph.types[v].quant is not None and graph.types[v].dtype is DType.I8 for v in (*graph.inputs, *graph.outputs)
    ):
        return graph
    constants, nodes = dict(graph.constants), []
    types = {v: _moved(t) if v in moved else t for v, t in graph.types.items()}
    constants |= {v: _raised(constants[v]) for v in moved if v in constants}
    for node in graph.nodes:
        if not any(v in moved for v in node.outputs):
            nodes.append(node)
            continue
        limits = {k: int(node.attr(k)) + 128 for k in ("qmin", "qmax") if k in node.attributes}
        # NOTE: stored integers of the output in a plain constant
        plain = 1 if node.op == "Lookup" else 2 if node.op == "Pad" else None
        if plain is not None and node.input(plain) in graph.constants and node.inputs[plain] not in moved:
            name = f"{node.outputs[0]}.unsigned.{plain}"
            data = _raised(graph.constants[node.inputs[plain]])
            constants[name], types[name] = data, TensorType(DType.U8, tuple(data.shape))
            node = node.with_(inputs=tuple(name if k == plain else i for k, i in enumerate(node.inputs)))
        nodes.append(node.with_attributes(**limits))
    return graph.with_(nodes=tuple[Node, ...](nodes), constants=constants, types=types)


def _moved(t: TensorType) -> TensorType:
    assert t.quant is not None
    return TensorType(DType.U8, t.shape, Quant.per_tensor(t.quant.scale[0], t.quant.z + 128))


def _raised(a: Array) -> Array:
    return (a.astype(np.int16) + 128).astype(np.uint8)
