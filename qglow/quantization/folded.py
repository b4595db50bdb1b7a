"""The constants that a model stores as integers, followed through what stands between them and the node that reads
them.

Weights come as DequantizeLinear(q), as DequantizeLinear(QuantizeLinear(w)), with a Clip of q between, or moved before
or after it by Transpose, Reshape and the like. Simplification folds all of that into one float constant; the integers
behind it are found again here.
"""

from __future__ import annotations

import numpy as np

from ..errors import QGlowError
from ..graph import Array, Graph, Node
from ..ops.traits import PRODUCT, REORDER
from ..reference import evaluate_node
from .qdq import Stored
from .weights import output_axis

MIXED = -1  # the axis of parameters that no single axis has, once their constant was reshaped


def stored_constants(imported: Graph, graph: Graph) -> dict[str, Stored]:
    """The integers by the name of the float constant that `graph`, the simplified one, has in their place."""
    integers, stands = dict(imported.constants), dict[str, tuple[Stored, Array]]()
    for node in imported.nodes:
        x, y = (node.inputs[0] if node.inputs else ""), (node.outputs[0] if node.outputs else "")
        if node.op == "DequantizeLinear" and all(i in integers for i in node.inputs if i):
            stands[y] = _dequantized(node, integers)
        elif node.has(REORDER) and x in stands and (moved := _moved(imported, node, *stands[x])) is not None:
            stands[y] = moved
        elif _is_followed(node) and all(i in integers for i in node.inputs if i):
            computed = _computed(imported, node, [integers[i] if i else None for i in node.inputs])
            integers |= {} if computed is None else {y: computed}
    # NOTE: a constant that differs was changed by simplification
    kept = {
        y: s for y, (s, real) in stands.items() if y in graph.constants and np.array_equal(real, graph.constants[y])
    }
    for node in graph.nodes:
        w = graph.constants.get(node.inputs[1]) if node.has(PRODUCT) and len(node.inputs) > 1 else None
        if w is not None and node.inputs[1] not in kept and (axis := output_axis(node)) is not None:
            found = (_multiplied(s, real, w, axis) for s, real in stands.values() if real.shape == w.shape)
            if (scaled := next(filter(None, found), None)) is not None:
                kept[node.inputs[1]] = scaled
    return kept


def _is_followed(node: Node) -> bool:
    """Whether a node makes stored integers of constants."""
    return node.has(REORDER) or node.op == "QuantizeLinear" or node.op == "Clip"


def _multiplied(stored: Stored, real: Array, w: Array, axis: int) -> Stored | None:
    """What weights are stored as, of which simplification multiplied each output channel by a positive factor, as that
    of a normalization after the product: the same integers, with other scales. None where they are other weights."""
    if stored.axis not in (None, axis):
        return None
    rows, given = (np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1).astype(np.float64) for a in (real, w))
    largest = np.abs(rows).argmax(1)[:, None] if rows.size else np.zeros((len(rows), 0), np.int64)
    with np.errstate(all="ignore"):
        factor = np.take_along_axis(given, largest, 1) / np.take_along_axis(rows, largest, 1)
    same = (factor > 0) & np.isfinite(factor) & (abs(given - rows * factor) <= 2.0**-22 * abs(given))
    if not rows.size or not same.all():
        return None
    scale = (stored.scale * factor.ravel()).astype(np.float32)
    return Stored(stored.raw, scale, np.broadcast_to(stored.zero, scale.shape), axis)


def _dequantized(node: Node, constants: dict[str, Array]) -> tuple[Stored, Array]:
    """What a DequantizeLinear of constants stands for, and the reals [q.shape]."""
    q, scale = constants[node.inputs[0]].astype(np.int64), np.atleast_1d(constants[node.inputs[1]].astype(np.float32))
    axis = int(node.attr("axis")) % max(1, q.ndim) if scale.size > 1 else None
    zero = np.zeros(1, np.int64) if not node.input(2) else constants[node.inputs[2]].astype(np.int64).reshape(-1)
    stored = Stored(q, scale, np.broadcast_to(zero, scale.shape), axis)
    along = [-1 if k == axis else 1 for k in range(q.ndim)]
    with np.errstate(over="ignore"):
        return stored, stored.q.astype(np.float32) * (scale.reshape(along) if axis is not None else scale[0])


def _moved(graph: Graph, node: Node, stored: Stored, real: Array) -> tuple[Stored, Array] | None:
    """Integers, the axis of their parameters, and reals after a node that moves them; None where its shape is not
    constant."""
    if any(i and i not in graph.constants for i in node.inputs[1:]):
        return None
    given: list[Array | None] = [graph.constants[i] if i else None for i in node.inputs[1:]]
    raw, reals = (_computed(graph, node, [a, *given]) for a in (stored.raw, real))
    if raw is None or reals is None:
        return None
    axis = stored.axis
    if axis is not None and axis != MIXED:
        count = stored.raw.shape[axis]
        index = np.arange(count).reshape([-1 if k == axis else 1 for k in range(stored.raw.ndim)])
        places = _computed(graph, node, [np.broadcast_to(index, stored.raw.shape).copy(), *given])
        axis = MIXED if places is None else _axis_of(places, count)
    return Stored(raw, stored.scale, stored.zero, axis), reals


def _axis_of(places: Array, count: int) -> int:
    """The axis along which an array holds 0, 1, ... and nothing else, or MIXED."""
    for k, size in enumerate(places.shape):
        if size == count and np.all(
            places == np.arange(count).reshape([-1 if j == k else 1 for j in range(places.ndim)])
        ):
            return k
    return MIXED


def _computed(graph: Graph, node: Node, inputs: list[Array | None]) -> Array | None:
    try:
        return evaluate_node(graph, node, inputs)[0]
    except QGlowError:
        return None
