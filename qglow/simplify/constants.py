"""Nodes whose inputs are all constants become constants, and so does an integer that is multiplied by zero.

It is no rewrite: no pattern says which nodes, they are evaluated, and all of them share one bound on the memory of what
they make.
"""

from __future__ import annotations

import numpy as np

from ..errors import QGlowError
from ..graph import Array, DType, Graph, Node, TensorType
from ..limits import ELEMENTS, at_most
from ..ops.control import NEW_EACH_TIME
from ..reference import FLOAT, evaluate_node

# elements of what has more of them than it is made of; NOTE: an Expand or Tile of a constant may be far larger
LARGEST = 1 << 22
ROOM = 1 << 28  # bytes of all results beyond what they are made of, and beyond a float for each constant's element
WORK = 1 << 12  # units of work for one node, and twice what its inputs' elements take
DTYPES = frozenset(d.numpy for d in DType if d is not DType.STRING)


def fold_constants(graph: Graph) -> Graph:
    constants, types, nodes = dict(graph.constants), dict(graph.types), []
    outputs, room = set(graph.outputs), ROOM + 4 * sum(c.size for c in graph.constants.values())
    for node in graph.nodes:
        if (zeros := _times_zero(graph, node)) is not None and not outputs & set(node.outputs):
            constants[node.outputs[0]] = zeros
            continue
        known = node.op in FLOAT or (node.op == "Onnx" and node.operator not in NEW_EACH_TIME)
        foldable = known and node.inputs and all(not i or i in constants for i in node.inputs)
        if not foldable or outputs & set(node.outputs):
            nodes.append(node)
            continue
        size = sum(constants[i].size for i in node.inputs if i)
        largest = max(LARGEST, size)
        try:
            with at_most(8 * largest, WORK + 2 * size // ELEMENTS):
                results = evaluate_node(graph, node, [constants[i] if i else None for i in node.inputs])
        except QGlowError:
            nodes.append(node)
            continue
        if not all(isinstance(a, np.ndarray) and a.dtype in DTYPES for a in results):  # NOTE: a sequence, or strings
            nodes.append(node)
            continue
        grown = sum(a.nbytes for a in results) - sum(constants[i].nbytes for i in node.inputs if i)
        if sum(a.size for a in results) > largest or grown > room:
            nodes.append(node)
            continue
        room -= max(0, grown)
        for name, array in zip(node.outputs, results, strict=False):
            if name:
                constants[name] = array.copy()
                types[name] = TensorType(DType.of(array.dtype), tuple(array.shape))
    return graph.with_(nodes=tuple(nodes), constants=constants, types=types)


def _times_zero(graph: Graph, node: Node) -> Array | None:
    """The zeros that a product with an integer 0 is (of floats it may be NaN); None where it is none, or its shape is
    not known."""
    t = graph.types[node.outputs[0]] if node.op == "Mul" else None
    if t is None or t.dtype.is_float or not t.is_static:
        return None
    factors = [graph.constants[i] for i in node.inputs if i in graph.constants]
    return np.zeros(t.static_shape, t.dtype.numpy) if any(not np.any(c) for c in factors) else None
