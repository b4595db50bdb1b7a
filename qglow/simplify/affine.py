"""A per-channel affine function after a product is folded into it: (w x + b) * a + c = (a w) x + (a b + c).

1. Conv, ConvTranspose or Gemm, then BatchNormalization.
2. Conv or ConvTranspose, then Mul or Add of a constant that is a scalar or has one entry a channel.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, Graph, Node, TensorType
from ..graph.types import DType
from ..ops.traits import COMMUTATIVE, CONVOLUTION
from .scale import holds


def fold_affine(graph: Graph) -> Graph:
    folded = True
    while folded:
        graph, folded = _fold_once(graph)
    return graph


def _fold_once(graph: Graph) -> tuple[Graph, bool]:
    consumers, outputs = graph.consumers(), set(graph.outputs)
    constants, types = dict(graph.constants), dict(graph.types)
    replaced: dict[int, Node | None] = {}
    for product in graph.nodes:
        value = product.outputs[0]
        readers = consumers.get(value, [])
        if (
            not (product.has(CONVOLUTION) or product.op == "Gemm")
            or len(readers) != 1
            or value in outputs
            or not _has_constant_weights(graph, product)
        ):
            continue
        after = readers[0]
        function = _affine(graph, after, value, _channels(graph, product), product)
        if function is None or id(after) in replaced:
            continue
        with np.errstate(all="ignore"):
            folded = _fold(product, after, *function, constants, types)
        if folded is not None:
            replaced[id(product)], replaced[id(after)] = None, folded
    nodes = [replaced.get(id(n), n) for n in graph.nodes]
    return graph.with_(nodes=tuple(n for n in nodes if n is not None), constants=constants, types=types), bool(replaced)


def _has_constant_weights(graph: Graph, node: Node) -> bool:
    if node.op == "Gemm" and (node.attr("alpha") != 1.0 or node.attr("beta") != 1.0):
        return False
    w, bias = graph.constants.get(node.inputs[1]), node.input(2)
    return w is not None and w.dtype == np.float32 and (not bias or bias in graph.constants)


def _channels(graph: Graph, node: Node) -> int:
    w = graph.constants[node.inputs[1]].shape
    if node.op == "Conv":
        return int(w[0])
    if node.op == "ConvTranspose":
        return int(w[1]) * int(node.attr("group"))
    return int(w[0] if node.attr("transB") else w[1])


def _affine(graph: Graph, node: Node, value: str, channels: int, product: Node) -> tuple[Array, Array] | None:
    """(a, c) per channel, float64, of a node that computes a * value + c; None where it does not."""
    c = graph.constants
    if node.op == "BatchNormalization" and node.inputs[0] == value and all(i in c for i in node.inputs[1:]):
        scale, bias, mean, var = (c[i].astype(np.float64) for i in node.inputs[1:5])
        a = scale / np.sqrt(var + node.attr("epsilon"))
        return a, bias - mean * a
    if node.definition.neutral is None or product.op == "Gemm" or (not node.has(COMMUTATIVE) and node.inputs[0] != value):
        return None
    other = node.inputs[1] if node.inputs[0] == value else node.inputs[0]
    rank = graph.types[product.inputs[0]].rank
    if other not in c or rank is None:
        return None
    constant = c[other].astype(np.float64)
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if len(shape) != rank or any(d != 1 for k, d in enumerate(shape) if k != 1) or shape[1] not in (1, channels):
        return None
    per_channel = np.broadcast_to(constant.ravel(), (channels,))
    ones, zeros = np.ones(channels), np.zeros(channels)
    if node.op == "Div":
        return (1 / per_channel, zeros) if np.all(per_channel != 0) else None
    if node.op == "Mul":
        return per_channel, zeros
    return ones, per_channel if node.op == "Add" else -per_channel


def _fold(product: Node, after: Node, a: Array, c: Array, constants: dict[str, Array], types: dict[str, TensorType]) -> Node | None:
    """The product with its weights scaled, writing the value that the affine node wrote; None where float32 does not hold them."""
    out, w = after.outputs[0], constants[product.inputs[1]].astype(np.float64)
    bias = constants[product.inputs[2]].astype(np.float64).ravel() if product.input(2) else np.zeros(1)
    if product.op == "Conv":
        scaled = w * a.reshape(-1, *(1,) * (w.ndim - 1))
    elif product.op == "Gemm":
        scaled = w * (a[:, None] if product.attr("transB") else a)
    else:
        groups = int(product.attr("group"))
        per_group = a.reshape(groups, 1, -1, *(1,) * (w.ndim - 2))
        scaled = (w.reshape(groups, -1, *w.shape[1:]) * per_group).reshape(w.shape)
    if not holds(scaled) or np.isnan(bias * a + c).any():
        return None
    names = f"{out}.weight", f"{out}.bias"
    for name, array in zip(names, (scaled, bias * a + c), strict=True):
        constants[name] = array.astype(np.float32)
        types[name] = TensorType(DType.F32, tuple(array.shape))
    return product.with_(inputs=(product.inputs[0], *names), outputs=(out,))
