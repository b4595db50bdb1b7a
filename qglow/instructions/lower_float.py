"""What stays float and is simple enough to run between int8 instructions, without a step on the host."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import DType, Node
from ..ops import numbers
from ..reference.float_ordered import is_single_power
from .coalesce_dims import Loop, coalesce_dims, padded, rows_for_threads
from .lower_pointwise import broadcast, fields_of, in_form_of, loops_nhwc
from .lower_rows import rows
from .program import TensorView
from .select import Lowering
from .table import FLOAT_BINARY, FLOAT_UNARY

SAFE_SOFTMAX = "SafeSoftmax"


def operand(low: Lowering, name: str) -> TensorView | None:
    """The place of a float32 value or constant."""
    array = low.graph.constants.get(name)
    if array is not None and name not in low.places and array.dtype == np.float32:
        low.constant_place(name, array)
    place = low.places.get(name)
    return place if place is not None and place.dtype == "<f4" else None


def binary(low: Lowering, node: Node) -> bool:
    out = node.outputs[0]
    if (
        len(node.inputs) != 2
        or low.type(out).dtype is not DType.F32
        or not low.type(out).static_shape
        or 0 in low.type(out).static_shape
    ):
        return False
    a, b = (operand(low, i) for i in node.inputs)
    if a is None or b is None:
        return False
    shape = low.type(out).static_shape
    y = low.place(out, like=a if a.shape == shape else b if b.shape == shape else None)
    loops = runs(y, broadcast(a, shape), broadcast(b, shape))
    if loops is None:
        a, b = (in_form(low, i, p, y) for p, i in zip((a, b), node.inputs, strict=True))
        loops = runs(y, broadcast(a, shape), broadcast(b, shape))
        if loops is None:
            low.deallocate(out)
            return False
    loops = rows_for_threads(loops, low.any_length)
    (_, (_, a_c, b_c)), op = loops[-1], FLOAT_BINARY.index(node.op)
    fields = {**fields_of(loops, "yab"), "a_c": int(a_c != 0), "b_c": int(b_c != 0), "op": op}
    low.emit("float_binary", {"a": a, "b": b, "y": y}, {}, fields)
    return True


def in_form(low: Lowering, name: str, place: TensorView, y: TensorView) -> TensorView:
    """The value as y lies, where it has y's shape; else without gaps."""
    if place.shape == y.shape:
        return in_form_of(low, name, y)
    return place if place.is_dense else low.dense_of(name)


def runs(y: TensorView, a: TensorView, b: TensorView) -> list[Loop] | None:
    """Loops N, H, W and a run along which y is adjacent, and the operands are or stand still (not both)."""
    loops = coalesce_dims(y.shape, [p.strides for p in (y, a, b)]) or [(1, (4, 4, 4))]
    step_y, step_a, step_b = loops[-1][1]
    if step_y != 4 or step_a not in (0, 4) or step_b not in (0, 4) or step_a + step_b == 0:
        return None
    return padded(loops, 4, 3)


Parameters = Callable[[Lowering, Node], tuple[str, float, float] | None]


def clip(low: Lowering, node: Node) -> tuple[str, float, float] | None:
    bounds = [low.graph.constants.get(i) if i else None for i in (*node.inputs[1:], "", "")[:2]]
    if any(i and i not in low.graph.constants for i in node.inputs[1:]) or any(
        c is not None and c.size != 1 for c in bounds
    ):
        return None
    least, most = (None if c is None else float(c.reshape(-1)[0]) for c in bounds)
    # NOTE: a bound that is not there leaves infinities; one that is the largest number would not
    if least is None or most is None:
        bound = most if least is None else least
        if bound is None or not np.isfinite(bound):
            return None
        return ("Relu" if least == 0 else "AtMost" if least is None else "AtLeast", bound, 0.0)
    return ("Clip", least, most) if np.isfinite((least, most)).all() else None


def power(low: Lowering, node: Node) -> tuple[str, float, float] | None:
    exponent = low.graph.constants.get(node.inputs[1])
    if exponent is None or exponent.size != 1 or exponent.ndim > len(low.type(node.inputs[0]).static_shape):
        return None
    y = float(np.float32(exponent.reshape(-1)[0]))
    known = {2.0: "Square", 0.5: "Sqrt", -1.0: "Reciprocal"}
    if y in known:
        return known[y], 0.0, 0.0
    return (
        None if y == 1.0 or not is_single_power(y) else ("Power", y, float(0 if y != round(y) else 1 if y % 2 else 2))
    )


def by_numbers(low: Lowering, node: Node) -> tuple[str, float, float]:
    """A function whose parameters are the numbers among its attributes."""
    f_a, f_b = (*(float(node.attr(name)) for name in numbers(node.op)), 0.0, 0.0)[:2]
    return node.op, f_a, f_b


def clipped(low: Lowering, node: Node) -> bool:
    return function_of(low, node, clip)


def raised(low: Lowering, node: Node) -> bool:
    return function_of(low, node, power)


def unary(low: Lowering, node: Node) -> bool:
    return function_of(low, node, by_numbers)


def function_of(low: Lowering, node: Node, parameters: Parameters) -> bool:
    out, x = node.outputs[0], operand(low, node.inputs[0])
    if x is None or low.type(out).dtype is not DType.F32 or 0 in x.shape:
        return False
    found = parameters(low, node)
    if found is None or not np.isfinite(np.array(found[1:], np.float32)).all():
        return False
    name, f_a, f_b = found
    y = low.place(out, like=x)
    loops = loops_nhwc(low, y, x)
    if loops is None:
        x = in_form(low, node.inputs[0], x, y)
        loops = loops_nhwc(low, y, x)
        if loops is None:
            low.deallocate(out)
            return False
    fields = {"op": FLOAT_UNARY.index(name), "f_a": float(np.float32(f_a)), "f_b": float(np.float32(f_b))}
    low.emit("float_unary", {"x": x, "y": y}, {}, {**fields_of(loops, "yx"), **fields})
    return True


def softmax(low: Lowering, node: Node) -> bool:
    x, t = operand(low, node.inputs[0]), low.type(node.outputs[0])
    axis = int(node.attr("axis")) % max(1, len(t.static_shape))
    if x is None or t.dtype is not DType.F32 or 0 in t.static_shape or any(d != 1 for d in t.static_shape[axis + 1 :]):
        return False
    if axis == len(t.static_shape) - 1:
        source, y, fields = rows(low, node, 4)
    else:
        source, y = low.dense_of(node.inputs[0]), low.place(node.outputs[0], channels_last=False)
        count = t.static_shape[axis]
        fields = {"H": int(np.prod(t.static_shape[:axis])), "C": count, "x_h": 4 * count, "y_h": 4 * count}
    low.emit("float_softmax", {"x": source, "y": y}, {}, {**fields, "zero_nan": int(node.op == SAFE_SOFTMAX)})
    return True


def where(low: Lowering, node: Node) -> bool:
    out, shape = node.outputs[0], low.type(node.outputs[0]).static_shape
    condition = truths(low, node.inputs[0])
    a, b = (operand(low, i) for i in node.inputs[1:])
    if condition is None or a is None or b is None or 0 in shape:
        return False
    y = low.place(out, like=next((p for p in (a, b) if p.shape == shape), None))
    loops = where_loops(y, condition, a, b)
    if loops is None:
        condition = condition if condition.is_dense else low.dense_of(node.inputs[0])
        a, b = (in_form(low, i, p, y) for p, i in zip((a, b), node.inputs[1:], strict=True))
        loops = where_loops(y, condition, a, b)
        if loops is None:
            low.deallocate(out)
            return False
    emit_where(low, rows_for_threads(loops, low.any_length), condition, a, b, y)
    return True


def emit_where(
    low: Lowering, loops: list[Loop], condition: TensorView, a: TensorView, b: TensorView, y: TensorView
) -> None:
    """loops: of y, the condition, a and b."""
    moves = {f"{n}_c": int(step != 0) for n, step in zip(("condition", "a", "b"), loops[-1][1][1:], strict=True)}
    fields = {k.replace("k_", "condition_"): v for k, v in fields_of(loops, "ykab").items()}
    low.emit("float_where", {"condition": condition, "a": a, "b": b, "y": y}, {}, {**fields, **moves})


def truths(low: Lowering, name: str) -> TensorView | None:
    """The place of a boolean value or constant."""
    array = low.graph.constants.get(name)
    if array is not None and name not in low.places and array.dtype == np.bool_:
        low.constant_place(name, array)
    place = low.places.get(name)
    return place if place is not None and np.dtype(place.dtype) == np.bool_ else None


def where_loops(y: TensorView, condition: TensorView, a: TensorView, b: TensorView) -> list[Loop] | None:
    """As `runs`, of bytes and two operands, each of which is adjacent or stands still."""
    places = (y, *(broadcast(p, y.shape) for p in (condition, a, b)))
    loops = coalesce_dims(y.shape, [p.strides for p in places]) or [(1, (4, 1, 4, 4))]
    step_y, step_condition, step_a, step_b = loops[-1][1]
    if step_y != 4 or step_condition not in (0, 1) or step_a not in (0, 4) or step_b not in (0, 4):
        return None
    return padded(loops, 4, 4)
