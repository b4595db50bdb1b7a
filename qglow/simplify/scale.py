"""Mul or Div by a positive scalar constant is taken into the weights of the product that it comes from.

1. Straight after a product with constant weights: they and the bias are scaled.
2. Further away, the scale goes up through ops that only move data and through the first operand of a product of two
   tensors, as the 1 / sqrt(d) of attention does. Every value on the way has one reader; each takes a new name, for it
   has a new meaning.

It is no rewrite: the way up is of any length, and every value on it takes a new name.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, Graph, Node, TensorType
from ..graph.type_rules import gemm_form
from ..graph.types import DType
from ..ops.traits import PRODUCT, REORDER


def sink_scales(graph: Graph) -> Graph:
    for scale in graph.nodes:
        if scale.definition.neutral == 1 and (found := _factor(graph, scale)) is not None:
            value, factor = found
            chain = _chain(graph, value)
            if chain is not None and all(
                holds(graph.constants[i].astype(np.float64) * factor) for i in chain[-1].inputs[1:] if i
            ):
                graph = _apply(graph, scale, chain, factor)
    return graph


def holds(scaled: Array) -> bool:
    """Whether float32 holds weights of float64: none of them infinite or NaN, the largest not near the denormal
    numbers."""
    largest = float(np.abs(scaled).max(initial=0))
    return largest == 0 or 2.0**-100 < largest < 2.0**127


def _factor(graph: Graph, node: Node) -> tuple[str, float] | None:
    """(value, factor) of a node that multiplies a value with a positive scalar, leaving its shape as it is."""
    for value, other in (node.inputs, node.inputs[::-1]):
        c = graph.constants.get(other)
        if (
            c is None
            or c.size != 1
            or c.dtype != np.float32
            or value in graph.constants
            or (node.op == "Div" and other != node.inputs[1])
        ):
            continue
        factor = float(c.reshape(-1)[0])
        rank = graph.types[value].rank
        if 0 < factor < np.inf and rank is not None and c.ndim <= rank:
            return value, 1 / factor if node.op == "Div" else factor
    return None


def _chain(graph: Graph, value: str) -> list[Node] | None:
    """The nodes from a value up to a product with constant weights, which is the last one."""
    producers, consumers = graph.producers(), graph.consumers()
    chain: list[Node] = []
    while True:
        node = producers.get(value)
        if node is None or len(consumers.get(value, [])) != 1 or value in graph.outputs or len(node.outputs) != 1:
            return None
        chain.append(node)
        if node.has(PRODUCT) and node.inputs[1] in graph.constants:
            fits = not node.input(2) or node.inputs[2] in graph.constants
            plain = gemm_form(node).alpha == gemm_form(node).beta == 1.0
            return chain if fits and plain and graph.constants[node.inputs[1]].dtype == np.float32 else None
        if not node.has(REORDER) and not (node.op == "MatMul" and len(node.inputs) == 2):
            return None
        value = node.inputs[0]


def _apply(graph: Graph, scale: Node, chain: list[Node], factor: float) -> Graph:
    constants, types = dict(graph.constants), dict(graph.types)
    renamed: dict[str, Node | None] = {scale.name: None}
    out = scale.outputs[0]
    for k, node in enumerate(chain):
        inputs = list(node.inputs)
        if k < len(chain) - 1:
            inputs[0] = f"{node.inputs[0]}.scaled"
            types[inputs[0]] = types[node.inputs[0]]
        else:
            for slot in (1, 2):
                if node.input(slot):
                    inputs[slot] = f"{node.inputs[slot]}.scaled.{node.outputs[0]}"
                    array: Array = (constants[node.inputs[slot]].astype(np.float64) * factor).astype(np.float32)
                    constants[inputs[slot]], types[inputs[slot]] = array, TensorType(DType.F32, tuple(array.shape))
        renamed[node.name] = node.with_(inputs=tuple(inputs), outputs=(out if k == 0 else f"{node.outputs[0]}.scaled",))
    nodes = [renamed.get(n.name, n) for n in graph.nodes]
    return graph.with_(nodes=tuple(n for n in nodes if n is not None), constants=constants, types=types)
