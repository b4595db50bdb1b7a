"""Products with block-wise weights as ONNX.

1. Blocks of a power of two: MatMulNBits (com.microsoft), `accuracy_level` 4 where rows are int8, else 1.
2. Others: DequantizeLinear with `block_size`, of u4 or u8, before a MatMul: floats, for whoever runs it to round or
   not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..graph import Array, DType, Graph, Node
from ..graph.blocks import blocks_of
from ..record import NamedTuple
from ..reference.blockwise import default_zero, packed_nibbles, stored_integers

DOMAIN = "com.microsoft"


class Parts(NamedTuple):
    """Nodes, and the tensors that they read beside the product's input."""

    nodes: list[onnx.NodeProto]
    tensors: list[onnx.TensorProto]


def _fresh(graph: Graph, name: str) -> str:
    """A name that no value of the graph has."""
    while name in graph.types:
        name += "_"
    return name


def blockwise_nodes(graph: Graph, node: Node) -> Parts:
    """The ONNX nodes of a BlockwiseMatMul."""
    size = blocks_of(graph.types[node.inputs[1]])[2]
    return _matmul_n_bits(graph, node) if size & (size - 1) == 0 else _dequantized(graph, node)


def _matmul_n_bits(graph: Graph, node: Node) -> Parts:
    c, t = graph.constants, graph.types[node.inputs[1]]
    (n, k, size, blocks), y = blocks_of(t), node.outputs[0]
    is_u4, of = t.dtype is DType.U4, _fresh(graph, f"{y}.n_bits")
    q = np.zeros((n, blocks * size), np.uint8)
    q[:, :k] = stored_integers(c[node.inputs[1]], t)
    arrays: dict[str, Array] = {
        f"{of}.B": (packed_nibbles(q) if is_u4 else q).reshape(n, blocks, -1),
        f"{of}.scales": c[node.inputs[2]],
    }
    names = [node.inputs[0], *arrays]
    if node.input(3):
        arrays[f"{of}.zero_points"] = packed_nibbles(c[node.inputs[3]]) if is_u4 else c[node.inputs[3]]
        names.append(f"{of}.zero_points")
    if node.input(4):
        arrays[f"{of}.bias"] = c[node.inputs[4]]
        names += [""] * (5 - len(names)) + [f"{of}.bias"]
    level = 4 if node.attr("compute") == "int8" else 1
    bits = 4 if is_u4 else 8
    attributes: dict[str, Any] = {"K": k, "N": n, "bits": bits, "block_size": size, "accuracy_level": level}
    made = helper.make_node("MatMulNBits", names, [y], name=node.name, domain=DOMAIN, **attributes)
    return Parts([made], [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in arrays.items()])


def _dequantized(graph: Graph, node: Node) -> Parts:
    c, t = graph.constants, graph.types[node.inputs[1]]
    (n, k, size, blocks), y = blocks_of(t), node.outputs[0]
    of = _fresh(graph, f"{y}.blocks")
    dtype = onnx.TensorProto.UINT4 if t.dtype is DType.U4 else onnx.TensorProto.UINT8
    zeros = c[node.inputs[3]] if node.input(3) else np.full((n, blocks), default_zero(t), np.uint8)
    tensors = [
        helper.make_tensor(f"{of}.w", dtype, (n, k), stored_integers(c[node.inputs[1]], t).ravel()),
        helper.make_tensor(f"{of}.zero_points", dtype, (n, blocks), zeros.ravel()),
        numpy_helper.from_array(np.ascontiguousarray(c[node.inputs[2]]), f"{of}.scales"),
    ]
    product = f"{of}.product" if node.input(4) else y
    nodes = [
        helper.make_node(
            "DequantizeLinear",
            [f"{of}.w", f"{of}.scales", f"{of}.zero_points"],
            [f"{of}.rows"],
            axis=1,
            block_size=size,
        ),
        helper.make_node("Transpose", [f"{of}.rows"], [f"{of}.columns"], perm=[1, 0]),
        helper.make_node("MatMul", [node.inputs[0], f"{of}.columns"], [product], name=node.name),
    ]
    if node.input(4):
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(c[node.inputs[4]]), f"{of}.bias"))
        nodes.append(helper.make_node("Add", [product, f"{of}.bias"], [y]))
    return Parts(nodes, tensors)
