"""Softmax and layer normalization over the last axis, and the places of extremes along any."""

from __future__ import annotations

import numpy as np

from ..graph import Array, DType, Node
from .coalesce_dims import Loop, coalesce_dims, padded
from .lower_move import apart
from .lower_pointwise import Fields, is_u8, limits
from .program import TensorView
from .select import Lowering

LONGEST = 65536  # elements of a row whose sum of squares fits int32


def rows(
    low: Lowering, node: Node, item: int = 1, place: TensorView | None = None
) -> tuple[TensorView, TensorView, Fields]:
    """Input, output and fields of rows of adjacent elements. place: of the output, if not its own."""
    y = place or low.place(node.outputs[0], channels_last=False)
    x = low.places[node.inputs[0]]
    if x.strides[-1] != item or y.strides[-1] != item:
        x = low.dense_of(node.inputs[0])
    loops = coalesce_dims(y.shape[:-1], (y.strides[:-1], x.strides[:-1]))
    if len(loops) > 1:
        x = low.dense_of(node.inputs[0])
        loops = coalesce_dims(y.shape[:-1], (y.strides[:-1], x.strides[:-1]))
    count, (y_h, x_h) = loops[0] if loops else (1, (0, 0))
    return x, y, {"H": count, "C": y.shape[-1], "x_h": x_h, "y_h": y_h}


def softmax(low: Lowering, node: Node) -> bool:
    t = low.type(node.outputs[0])
    if (
        not is_u8(low, node.inputs[0], node.outputs[0])
        or int(node.attr("axis")) % len(t.static_shape) != len(t.static_shape) - 1
    ):
        return False
    assert t.quant is not None
    with np.errstate(over="ignore"):
        inverse = float(np.float32(1) / t.quant.s)
    if not np.isfinite(inverse):
        return low.refuse("one over its scale is no float32")
    table = low.constant(low.derived(_with_planes, low.graph.constants[node.inputs[1]]))
    with apart(low, node.outputs[0], channels_last=False) as place:
        x, y, fields = rows(low, node, place=place)
        places: dict[str, TensorView | None] = {"x": x, "y": y, "scratch": None}
        low.emit("softmax", places, {"table": table}, {**fields, "f_inverse": inverse, **limits(low, node)})
    return True


def _with_planes(table: Array) -> Array:
    """int32 [256] as bytes, then their three lower bytes as planes."""
    entries = np.ascontiguousarray(table, np.int32)
    planes = entries.view(np.uint8).reshape(256, 4)[:, :3].T
    return np.concatenate([entries.view(np.uint8), planes.reshape(-1)])


def layer_normalization(low: Lowering, node: Node) -> bool:
    x_type = low.type(node.inputs[0])
    if not is_u8(low, node.inputs[0], node.outputs[0]) or x_type.static_shape[-1] > LONGEST:
        return False
    n = x_type.static_shape[-1]
    if any(low.graph.constants[i].shape != (n,) for i in node.inputs[1:3]):
        return False
    assert x_type.quant is not None
    with np.errstate(over="ignore"):
        epsilon = float(np.float32(float(node.attr("epsilon")) * n * n / float(x_type.quant.s) ** 2))
    if not np.isfinite(epsilon):
        return low.refuse("its epsilon over its scale is no float32")
    constants = {
        name: low.constant(low.derived(np.asarray, low.graph.constants[i], np.float32))
        for name, i in zip(("gain", "shift"), node.inputs[1:], strict=True)
    }
    with apart(low, node.outputs[0], channels_last=False) as place:
        x, y, fields = rows(low, node, place=place)
        low.emit("layer_norm", {"x": x, "y": y}, constants, {**fields, "f_epsilon": epsilon, **limits(low, node)})
    return True


def arg_extreme(low: Lowering, node: Node) -> bool:
    """ArgMax and ArgMin, along any axis."""
    name, out = node.inputs[0], node.outputs[0]
    x, t = low.places.get(name), low.type(name)
    kind = {DType.U8: "arg_extreme", DType.F32: "float_arg_extreme"}.get(t.dtype)
    if x is None or kind is None or not t.static_shape or 0 in t.static_shape:
        return False
    axis = int(node.attr("axis")) % len(t.static_shape)
    y = low.place(out, channels_last=False)
    kept = [k for k in range(len(t.static_shape)) if k != axis]
    shape = tuple(t.static_shape[k] for k in kept)
    strides = tuple(y.strides[k] for k in kept) if node.attr("keepdims") else y.strides

    def loops_of(x: TensorView) -> list[Loop] | None:
        return padded(coalesce_dims(shape, (strides, tuple(x.strides[k] for k in kept))), 3, 2)

    loops = loops_of(x)
    if loops is None:
        x = low.dense_of(name)
        loops = loops_of(x)
    if loops is None:
        low.deallocate(out)
        return False
    fields: Fields = dict(zip("NHW", (d for d, _ in loops), strict=True))
    for k, letter in enumerate("yx"):
        fields |= {f"{letter}_{a}": loop[1][k] for a, loop in zip("nhw", loops, strict=True)}
    fields |= {"C": t.static_shape[axis], "x_c": x.strides[axis], "largest": int(node.op == "ArgMax")}
    low.emit(kind, {"x": x, "y": y}, {}, {**fields, "last": int(bool(node.attr("select_last_index")))})
    return True
