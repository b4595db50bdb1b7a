"""Float ops that are several instructions: LogSoftmax and InstanceNormalization (docs/quantization.md, 33 and 34), and
reductions of a function of the elements (29)."""

from __future__ import annotations

from math import prod

import numpy as np

from ..graph import DType, Node
from .lower_float import operand, runs
from .lower_float_window import reduce
from .lower_pointwise import fields_of, loops_nhwc
from .program import TensorView
from .select import Lowering
from .table import FLOAT_BINARY, FLOAT_REDUCE, FLOAT_UNARY

LONGEST_ROW = 1 << 16  # elements: factors of 1 and shifts of 0 are constants as long as a row


def emit_binary(low: Lowering, op: str, a: TensorView, b: TensorView, y: TensorView) -> None:
    """y = a op b, all of one shape; a stride of 0 repeats an operand."""
    loops = runs(y, a, b)
    assert loops is not None, "rows without gaps have loops"
    (_, (_, a_c, b_c)), index = loops[-1], FLOAT_BINARY.index(op)
    fields = {**fields_of(loops, "yab"), "a_c": int(a_c != 0), "b_c": int(b_c != 0), "op": index}
    low.emit("float_binary", {"a": a, "b": b, "y": y}, {}, fields)


def emit_unary(low: Lowering, op: str, x: TensorView, y: TensorView) -> None:
    loops = loops_nhwc(low, y, x)
    assert loops is not None, "rows without gaps have loops"
    low.emit(
        "float_unary",
        {"x": x, "y": y},
        {},
        {**fields_of(loops, "yx"), "op": FLOAT_UNARY.index(op), "f_a": 0.0, "f_b": 0.0},
    )


def emit_reduce(low: Lowering, name: str, x: TensorView) -> TensorView:
    """Max or Sum of each row of x [H, C]: a new [H, C] whose columns are all that one."""
    h, c = x.shape
    y = low.dense((h, 1), "<f4")
    low.emit(
        "float_reduce", {"x": x, "y": y}, {}, {"H": h, "C": c, "x_h": 4 * c, "y_h": 4, "op": FLOAT_REDUCE.index(name)}
    )
    return y


def along(column: TensorView, width: int) -> TensorView:
    """A column [H, 1] repeated along rows of a width."""
    return TensorView(column.buffer, column.start, (column.shape[0], width), (column.strides[0], 0), column.dtype)


def as_shape(place: TensorView, *shape: int) -> TensorView:
    """A place without gaps in another shape of as many elements."""
    strides = tuple(4 * prod(shape[k + 1 :]) for k in range(len(shape)))
    return TensorView(place.buffer, place.start, shape, strides, place.dtype)


def emit_last(low: Lowering, node: Node, op: str, a: TensorView, b: TensorView) -> None:
    """A node's output is a op b, of any shape with as many elements."""
    y = low.place(node.outputs[0], channels_last=False)
    if y.is_dense:
        emit_binary(low, op, a, b, as_shape(y, *a.shape))
        return
    dense = low.dense(a.shape, "<f4")
    emit_binary(low, op, a, b, dense)
    low.move(as_shape(dense, *y.shape), y)


def log_softmax(low: Lowering, node: Node) -> bool:
    t = low.type(node.outputs[0])
    shape = t.static_shape
    axis = int(node.attr("axis")) % max(1, len(shape))
    if (
        operand(low, node.inputs[0]) is None
        or t.dtype is not DType.F32
        or 0 in shape
        or any(d != 1 for d in shape[axis + 1 :])
    ):
        return False
    rows, width = prod(shape[:axis]), shape[axis]
    x = as_shape(low.dense_of(node.inputs[0]), rows, width)
    less, e = (low.dense((rows, width), "<f4") for _ in range(2))
    emit_binary(low, "Sub", x, along(emit_reduce(low, "Max", x), width), less)
    emit_unary(low, "Exp", less, e)
    total = emit_reduce(low, "Sum", e)
    logarithm = low.dense((rows, 1), "<f4")
    emit_unary(low, "Log", total, logarithm)
    emit_last(low, node, "Sub", less, along(logarithm, width))
    return True


def instance_normalization(low: Lowering, node: Node) -> bool:
    t = low.type(node.outputs[0])
    shape = t.static_shape
    if operand(low, node.inputs[0]) is None or t.dtype is not DType.F32 or 0 in shape or len(shape) < 3:
        return False
    n, c, size = shape[0], shape[1], prod(shape[2:])
    factors = [low.graph.constants.get(i) for i in node.inputs[1:3]]
    if size > LONGEST_ROW or any(f is None or f.dtype != np.float32 or f.shape != (c,) for f in factors):
        return low.refuse("its scale and shift are constants of one entry a channel, its images at most 65536 elements")
    x = low.dense_of(node.inputs[0])
    normal, scaled = (low.dense((n, c, size), "<f4") for _ in range(2))
    constants = {"gain": low.constant(np.ones(size, np.float32)), "shift": low.constant(np.zeros(size, np.float32))}
    fields = {
        "H": n * c,
        "C": size,
        "x_h": 4 * size,
        "y_h": 4 * size,
        "f_epsilon": float(np.float32(node.attr("epsilon"))),
    }
    low.emit("float_layer_norm", {"x": x, "y": normal}, constants, fields)
    scale, shift = (by_channel(low, i, (n, c, size)) for i in node.inputs[1:3])
    emit_binary(low, "Mul", normal, scale, scaled)
    emit_last(low, node, "Add", scaled, shift)
    return True


def reduced(low: Lowering, node: Node, before: str, name: str, after: str) -> bool:
    """A reduction, Max or Sum, of a function of the elements, and a function of that; "": none."""
    source, temporary = node.inputs[0], f"{node.outputs[0]}.{before}"
    if operand(low, source) is None or 0 in low.type(source).static_shape:
        return False
    if before:
        x = low.dense_of(source)
        size = prod(x.shape)
        low.places[temporary], low.types[temporary] = low.dense(x.shape, "<f4"), low.type(source)
        emit_unary(low, before, as_shape(x, size), as_shape(low.places[temporary], size))
    inner = node.with_(op=f"Reduce{name}", inputs=(temporary if before else source, *node.inputs[1:]))
    if not reduce(low, inner):
        if before:
            low.steps.pop()
        return False
    y = low.places[node.outputs[0]]
    if after:
        emit_unary(low, after, y, y)
    return True


def reduce_l1(low: Lowering, node: Node) -> bool:
    return reduced(low, node, "Abs", "Sum", "")


def reduce_l2(low: Lowering, node: Node) -> bool:
    return reduced(low, node, "Square", "Sum", "Sqrt")


def reduce_sum_square(low: Lowering, node: Node) -> bool:
    return reduced(low, node, "Square", "Sum", "")


def reduce_log_sum(low: Lowering, node: Node) -> bool:
    return reduced(low, node, "", "Sum", "Log")


def reduce_min(low: Lowering, node: Node) -> bool:
    return reduced(low, node, "Neg", "Max", "Neg")


def by_channel(low: Lowering, name: str, shape: tuple[int, int, int]) -> TensorView:
    """A constant of one float a channel, repeated over images and pixels."""
    factor = operand(low, name)
    assert factor is not None, "a float32 constant has a place"
    return TensorView(factor.buffer, factor.start, shape, (0, 4, 0), factor.dtype)
