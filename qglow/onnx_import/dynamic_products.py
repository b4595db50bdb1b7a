"""Products of a model that onnxruntime's `quantize_dynamic` made: DynamicQuantizeLinear of x, MatMulInteger or
ConvInteger, Cast, and Mul by both scales.

1. A MatMulInteger by a constant matrix becomes a `BlockwiseMatMul` of x: the model's integers, zero points and scales
   as weights, one scale and zero point a column; rows of x are quantized by their own ranges, not all by one.
2. A ConvInteger by constant weights becomes a Conv of the model's integers, of x too (dynamic_convolution.py). Behind
   it earlier versions of onnxruntime added a bias of int32, which is divided by both scales and cut to an integer when
   it runs.
3. Any other such node stays as it is: the host computes it as ONNX says.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import Array, DType, Graph, GraphBuilder, Node
from ..graph.blocks import OP, run_of
from .block_weights import add_weights, trimmed
from .dynamic_convolution import DynamicConvolutions, Found

DYNAMIC = frozenset({"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"})


def joined_dynamic_products(graph: Graph) -> Graph:
    """Rules 1 and 2; nodes that nothing reads any more stay for `remove_dead`."""
    if not any(n.op == "Onnx" and n.operator in DYNAMIC for n in graph.nodes):
        return graph
    producers, b = graph.producers(), GraphBuilder(graph)
    convolutions = DynamicConvolutions(b)
    for node in graph.nodes:
        found = _found(b, graph, producers, node) if node.op == "Mul" else None
        made = None if found is None else convolutions.product(found, node) or _matrix_product(b, found, node)
        b.append(node if made is None else made)
    return b.build(graph.name, graph.inputs, graph.outputs)


def _found(b: GraphBuilder, graph: Graph, producers: Mapping[str, Node], node: Node) -> Found | None:
    """The product that a Mul ends, or None."""
    for total, factor in (node.inputs, node.inputs[::-1]):
        cast = producers.get(total)
        product, bias = _biased(producers, cast.inputs[0]) if cast is not None and cast.op == "Cast" else (None, "")
        if product is None:
            continue
        quantizer = producers.get(product.inputs[0])
        if quantizer is None or quantizer.operator != "DynamicQuantizeLinear" or quantizer.op != "Onnx":
            return None
        scale, w = _factor(graph, producers, factor, quantizer.outputs[1]), graph.constants.get(product.inputs[1])
        zero = graph.constants.get(product.input(3)) if product.input(3) else np.zeros((), np.int8)
        own_scale = product.inputs[0] == quantizer.outputs[0] and product.input(2) == quantizer.outputs[2]
        if (
            scale is None
            or w is None
            or zero is None
            or not own_scale
            or graph.types[node.outputs[0]].dtype is not DType.F32
        ):
            return None
        divided = _divided(graph, producers, bias, factor) if bias else None
        if divided is not None and divided.size == w.shape[0]:
            return Found(product, quantizer.inputs[0], w, zero, scale, divided=divided)
        return Found(product, quantizer.inputs[0], w, zero, scale, _as_floats(b, producers, bias))
    return None


def _biased(producers: Mapping[str, Node], total: str) -> tuple[Node | None, str]:
    """The product of integers that makes a total, and the bias that is added to it."""
    made = producers.get(total)
    if made is not None and made.op == "Add":
        for value, bias in (made.inputs, made.inputs[::-1]):
            if _is_product(producers.get(value)):
                return producers[value], bias
    return (made, "") if _is_product(made) else (None, "")


def _is_product(node: Node | None) -> bool:
    return node is not None and node.op == "Onnx" and node.operator in ("MatMulInteger", "ConvInteger")


def _divided(graph: Graph, producers: Mapping[str, Node], bias: str, factor: str) -> Array | None:
    """The constant of which a bias is made: divided by the product of both scales, cut, cast, and reshaped."""
    floored = _read(producers, _read(producers, _read(producers, bias, "Reshape"), "Cast"), "Floor")
    steps, scales = producers.get(floored), producers.get(factor)
    if steps is None or steps.op != "Div" or scales is None:
        return None
    divisor = producers.get(steps.inputs[1])
    same = divisor is not None and divisor.op == "Mul" and set(divisor.inputs) == set(scales.inputs)
    return graph.constants.get(steps.inputs[0]) if same else None


def _read(producers: Mapping[str, Node], value: str, op: str) -> str:
    """What a node of this op makes a value of, "" where it is made by another."""
    node = producers.get(value)
    return node.inputs[0] if node is not None and node.op == op else ""


def _as_floats(b: GraphBuilder, producers: Mapping[str, Node], bias: str) -> str:
    """An int32 bias as floats."""
    return b.add("Cast", (bias,), b.types[bias]._replace(dtype=DType.F32), f"{bias}.real", to="float32") if bias else ""


def _factor(graph: Graph, producers: Mapping[str, Node], factor: str, x_scale: str) -> Array | None:
    """The constant by which a Mul multiplies the scale of x to this factor."""
    mul = producers.get(factor)
    if mul is None or mul.op != "Mul" or x_scale not in mul.inputs:
        return None
    scale = graph.constants.get(mul.inputs[1 if mul.inputs[0] == x_scale else 0])
    return scale if scale is not None and scale.dtype == np.float32 and np.isfinite(scale).all() else None


def _matrix_product(b: GraphBuilder, found: Found, node: Node) -> Node | None:
    w, n = found.w, found.w.shape[-1]
    if found.product.operator != "MatMulInteger" or found.bias or w.ndim != 2 or not w.size:
        return None
    if any(a.size not in (1, n) or (a.size == n != 1 and a.shape[-1] != n) for a in (found.zero, found.scale)):
        return None
    size = run_of(len(w))
    blocks = -(-len(w) // size)
    zeros, scales = (np.broadcast_to(np.ravel(a)[:, None], (n, blocks)) for a in (found.zero, found.scale))
    names = add_weights(b, node.outputs[0], np.ascontiguousarray(w.T), scales, zeros, size)
    if names is None:
        return None
    return Node(OP, trimmed((found.x, *names)), node.outputs, {"compute": "int8"}, node.name)
