"""Nodes whose sums could leave int32, known from their types: they stay float, and say so.

A sum is rounded to int32 once it is in units of its output's scale (docs/quantization.md, 6, 9, 11, 14, 15). It must
stay below 2^30 then: an element is at most 255 steps of its scale away from its zero point, so that scales that lie far
apart could take it beyond.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ..graph import Graph, Node, Quant
from ..graph.type_rules import channel_axis
from ..ops.traits import ACCUMULATES, ARITHMETIC, JOINTLY_HOMOGENEOUS, PRODUCT
from .int16 import touches_int16
from .state import Quants, QuantState

STEPS = 255.0
LIMIT = 2.0**29  # half of what lowering asks for: weights and ratios are rounded in between
FAR_APART = "its scales are so far apart that int32 does not hold what it sums up"
OVERFLOW = "a sum of its products could overflow int32"


def beyond_int32(state: QuantState) -> dict[str, str]:
    """Why int8 nodes cannot be, by node name."""
    graph, quants, reasons = state.graph, state.quants, {}
    for node in filter(state.is_int8, graph.nodes):
        if node.outputs[0] in state.functions or any(i not in quants for i in _read(graph, node)):
            continue
        if touches_int16(state, node):  # NOTE: these are clamped before they are rounded (docs/quantization.md, 50)
            continue
        y = state.uses.target(node.outputs[0])
        reason = _count_obstacle(graph, node) or (
            _scale_obstacle(graph, node, quants, quants[y][1]) if y in quants else None
        )
        if reason is not None:
            reasons[node.name] = reason
    return reasons


def _read(graph: Graph, node: Node) -> list[str]:
    """The quantized values that a node's sums are of."""
    if node.has(ARITHMETIC) or (node.op == "MatMul" and node.inputs[1] not in graph.constants):
        return list(node.inputs[:2])
    return [node.inputs[0]] if node.has(ACCUMULATES) or node.op == "Resize" else []


def _count_obstacle(graph: Graph, node: Node) -> str | None:
    """Of a product of two tensors, whose terms have no bound but their number."""
    shape = graph.types[node.inputs[0]].shape if node.inputs else None
    terms = shape[-1] if shape else None
    two = node.op == "MatMul" and node.inputs[1] not in graph.constants
    return OVERFLOW if two and isinstance(terms, int) and terms * 255 * 128 >= 2**31 - 1 else None


def _scale_obstacle(graph: Graph, node: Node, quants: Quants, y: Quant) -> str | None:
    s = [float(quants[i][1].s) for i in _read(graph, node)]
    if not s:
        return None
    if node.has(ARITHMETIC) and not node.has(JOINTLY_HOMOGENEOUS):
        most = STEPS * STEPS * s[0] * s[1]
    elif node.has(PRODUCT):
        most = _largest_sum(graph, node, s)
    else:
        most = STEPS * sum(s)
    return FAR_APART if most >= LIMIT * float(y.s) else None


def _largest_sum(graph: Graph, node: Node, s: list[float]) -> float:
    """The largest magnitude that a product's sum can have, as a real number."""
    if len(s) == 2:
        shape = graph.types[node.inputs[0]].shape
        terms = shape[-1] if shape and isinstance(shape[-1], int) else 1
        return terms * STEPS * 128 * s[0] * s[1]
    w = np.abs(graph.constants[node.inputs[1]].astype(np.float64))
    axis = channel_axis(node, w.ndim)
    sums = w.sum(tuple(k for k in range(w.ndim) if k != axis)) if prod(w.shape) else np.zeros(1)
    bias = float(np.abs(graph.constants[node.inputs[2]]).max(initial=0)) if node.input(2) else 0.0
    return STEPS * s[0] * float(sums.max(initial=0)) + bias
