"""What stays float and is simple enough to run between int8 instructions, without a step on the host."""

from __future__ import annotations

import numpy as np

from ..graph import Kind, Node
from .lower import Lowering, float_rule
from .lower_pointwise import broadcast, fields_of, four
from .lower_rows import rows
from .nest import Loop, nest, padded
from .program import Place
from .table import FLOAT_BINARY, FLOAT_UNARY


def operand(low: Lowering, name: str) -> Place | None:
    """The place of a float32 value or constant."""
    array = low.graph.constants.get(name)
    if array is not None and name not in low.places and array.dtype == np.float32:
        low.constant_place(name, array)
    place = low.places.get(name)
    return low.use(place) if place is not None and place.dtype == "<f4" else None


@float_rule(*FLOAT_BINARY)
def binary(low: Lowering, node: Node) -> bool:
    out = node.outputs[0]
    if len(node.inputs) != 2 or low.type(out).kind is not Kind.F32 or not low.type(out).static_shape or 0 in low.type(out).static_shape:
        return False
    a, b = (operand(low, i) for i in node.inputs)
    if a is None or b is None:
        return False
    shape = low.type(out).static_shape
    y = low.place(out, like=a if a.shape == shape else b if b.shape == shape else None)
    loops = runs(y, broadcast(a, shape), broadcast(b, shape))
    if loops is None:
        dense = [p if p.is_dense else low.dense_of(i) for p, i in zip((a, b), node.inputs, strict=True)]
        a, b = dense
        loops = runs(y, broadcast(a, shape), broadcast(b, shape))
        if loops is None:
            low.forget(out)
            return False
    (_, (_, a_c, b_c)), op = loops[-1], FLOAT_BINARY.index(node.op)
    fields = {**fields_of(loops, "yab"), "a_c": int(a_c != 0), "b_c": int(b_c != 0), "op": op}
    low.emit("float_binary", {"a": a, "b": b, "y": y}, {}, fields)
    return True


def runs(y: Place, a: Place, b: Place) -> list[Loop] | None:
    """Loops N, H, W and a run along which y is adjacent, and the operands are or stand still (not both)."""
    loops = nest(y.shape, [p.strides for p in (y, a, b)]) or [(1, (4, 4, 4))]
    step_y, step_a, step_b = loops[-1][1]
    if step_y != 4 or step_a not in (0, 4) or step_b not in (0, 4) or step_a + step_b == 0:
        return None
    return padded(loops, 4, 3)


@float_rule(*FLOAT_UNARY)
def unary(low: Lowering, node: Node) -> bool:
    out, x = node.outputs[0], operand(low, node.inputs[0])
    if x is None or low.type(out).kind is not Kind.F32 or 0 in x.shape:
        return False
    y = low.place(out, like=x)
    loops = four(y, x)
    if loops is None:
        x = low.dense_of(node.inputs[0])
        loops = four(y, x)
        if loops is None:
            low.forget(out)
            return False
    low.emit("float_unary", {"x": x, "y": y}, {}, {**fields_of(loops, "yx"), "op": FLOAT_UNARY.index(node.op)})
    return True


@float_rule("Softmax")
def softmax(low: Lowering, node: Node) -> bool:
    x, t = operand(low, node.inputs[0]), low.type(node.outputs[0])
    axis = int(node.attr("axis", -1)) % max(1, len(t.static_shape))
    if x is None or t.kind is not Kind.F32 or 0 in t.static_shape or any(d != 1 for d in t.static_shape[axis + 1 :]):
        return False
    if axis == len(t.static_shape) - 1:
        source, y, fields = rows(low, node, 4)
    else:
        source, y, count = low.dense_of(node.inputs[0]), low.place(node.outputs[0]), t.static_shape[axis]
        fields = {"H": int(np.prod(t.static_shape[:axis])), "C": count, "x_h": 4 * count, "y_h": 4 * count}
    low.emit("float_softmax", {"x": source, "y": y}, {}, fields)
    return True
