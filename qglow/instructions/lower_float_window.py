"""Pools, reductions, resampling and layer normalization of floats."""

from __future__ import annotations

from math import prod

import numpy as np

from ..graph import DType, Node
from ..reference.float_ordered import is_by_rows
from ..reference.float_pool import tap_counts
from ..reference.float_reduce import reduction_axes
from ..reference.float_resize import Axis, is_weighted, linear_taps, nearest_indices, resize_geometry, weighted_taps
from ..reference.integer_resize import corner_taps
from ..reference.windows import Window
from .layout import NO_HALO, conv_window, window_fields
from .lower_float import operand
from .lower_rows import rows
from .lower_window import full_window
from .program import TensorView
from .select import Lowering
from .table import FLOAT_REDUCE


def is_image(low: Lowering, node: Node) -> bool:
    """Whether a node makes a float image or line, that has elements, of another."""
    t, y = low.type(node.inputs[0]), low.type(node.outputs[0])
    several = any(node.outputs[1:])
    return (
        t.dtype is DType.F32
        and y.dtype is DType.F32
        and t.rank in (3, 4)
        and not several
        and operand(low, node.inputs[0]) is not None
    )


def window(low: Lowering, name: str, x: TensorView, y: TensorView, win: Window, include: bool = False) -> None:
    places = {"IH": x.shape[2], "IW": x.shape[3], "top": win.begin[0], "left": win.begin[1], "include": int(include)}
    low.emit_image("float_pool2d", x, y, op=FLOAT_REDUCE.index(name), **window_fields(win), **places)


def pool(low: Lowering, node: Node) -> bool:
    include = node.op == "AveragePool" and bool(node.attr("count_include_pad"))
    if not is_image(low, node) or (include and node.attr("ceil_mode")):
        return False
    size, win = conv_window(low.graph, node)
    y = low.place(node.outputs[0]).as_image()
    if node.op == "MaxPool" and not tap_counts(win, size, y.shape[2:]).all():
        return low.refuse("a window of it lies in the padding alone")
    window(low, "Max" if node.op == "MaxPool" else "Mean", low.image_of(node.inputs[0]), y, win, include)
    return True


def global_pool(low: Lowering, node: Node) -> bool:
    if not is_image(low, node):
        return False
    x, y = low.image_of(node.inputs[0]), low.place(node.outputs[0]).as_image()
    window(low, "Mean" if node.op == "GlobalAveragePool" else "Max", x, y, full_window(x.shape[2:]))
    return True


def reduce(low: Lowering, node: Node) -> bool:
    t, name = low.type(node.inputs[0]), node.op.removeprefix("Reduce")
    shape = t.static_shape
    if (
        operand(low, node.inputs[0]) is None
        or any(i not in low.graph.constants for i in node.inputs[1:] if i)
        or not shape
    ):
        return False
    inputs = [np.broadcast_to(np.zeros(()), shape), *(low.graph.constants[i] for i in node.inputs[1:] if i)]
    axes = tuple(sorted(reduction_axes(node, inputs, len(shape))))  # type: ignore[arg-type]
    if not axes or axes != tuple(range(axes[0], axes[-1] + 1)):
        return False
    before, middle, after = (
        int(np.prod(part)) for part in (shape[: axes[0]], shape[axes[0] : axes[-1] + 1], shape[axes[-1] + 1 :])
    )
    if is_by_rows(len(shape), axes):
        x, y = low.dense_of(node.inputs[0]), low.place(node.outputs[0], channels_last=False)
        fields = {"H": before, "C": middle, "x_h": 4 * middle, "y_h": 4}
        low.emit("float_reduce", {"x": x, "y": y}, {}, {**fields, "op": FLOAT_REDUCE.index(name)})
        return True
    if len(shape) == 4 and axes == (2, 3):
        x, y = low.image_of(node.inputs[0]), low.place(node.outputs[0], channels_last=False)
        image_y = TensorView(y.buffer, y.start, (*shape[:2], 1, 1), (4 * shape[1], 4, 0, 0), y.dtype)
        window(low, name, x, image_y, full_window(shape[2:]))
        return True
    x, y = low.dense_of(node.inputs[0]), low.place(node.outputs[0], channels_last=False)
    row = 4 * after
    image_x = TensorView(x.buffer, x.start, (before, after, 1, middle), (middle * row, 4, middle * row, row), x.dtype)
    window(
        low,
        name,
        image_x,
        TensorView(y.buffer, y.start, (before, after, 1, 1), (row, 4, row, row), y.dtype),
        full_window((1, middle)),
    )
    return True


def resize(low: Lowering, node: Node) -> bool:
    mode = node.attr("mode")
    if low.type(node.inputs[0]).dtype in (DType.U8, DType.I8):
        return truncated(low, node)
    if not is_image(low, node) or low.type(node.inputs[0]).rank != 4:
        return False
    constants = [low.graph.constants.get(i) if i else None for i in node.inputs[1:]]
    geometry = resize_geometry(node, low.type(node.inputs[0]).static_shape, [None, *constants])
    if not all(axis.same for axis in geometry[:2]):
        return False
    if is_weighted(node):
        return weighted(low, node, geometry[2:])
    x, y = low.image_of(node.inputs[0]), low.place(node.outputs[0])
    tables = {}
    for name, axis in zip(("rows", "columns"), geometry[2:], strict=True):
        if mode == "nearest":
            tables[name] = low.constant(nearest_indices(node, axis).astype(np.int32))
            continue
        index = np.arange(axis.out)
        before, after, weight = (index, index, np.zeros(axis.out)) if axis.same else linear_taps(node, axis)
        tables[name] = low.constant(
            np.stack([before.astype(np.int32), after.astype(np.int32), weight.astype(np.float32).view(np.int32)])
        )
    if mode == "linear":
        low.emit_image("float_resize", x, y, tables)
        return True
    n, c, h, w = y.shape
    names = ("x_n", "x_h", "x_w", "y_n", "y_h", "y_w")
    strides = dict(zip(names, (x.strides[0], *x.strides[2:], y.strides[0], *y.strides[2:]), strict=True))
    low.emit("resize_nearest", {"x": x, "y": y}, tables, {"N": n, "H": h, "W": w, "C": 4 * c, **strides})
    return True


def truncated(low: Lowering, node: Node) -> bool:
    """A linear Resize of plain bytes, which stand for no reals."""
    t, y = low.type(node.inputs[0]), low.type(node.outputs[0])
    constants = [low.graph.constants.get(i) if i else None for i in node.inputs[1:]]
    if node.inputs[0] not in low.places or t.rank != 4 or t.is_quantized or y.dtype is not t.dtype or y.is_quantized:
        return False
    axes = resize_geometry(node, t.static_shape, [None, *constants])
    if node.attr("mode") != "linear" or is_weighted(node) or not (axes[0].same and axes[1].same):
        return False
    tables = {}
    for name, axis in zip(("rows", "columns"), axes[2:], strict=True):
        first, second, *weights = corner_taps(node, axis)
        indices = np.stack([first, second]).astype(np.int32)
        tables[name] = low.constant(np.concatenate([indices, np.stack(weights).view(np.int32)]))
    x, made = low.image_of(node.inputs[0]), low.place(node.outputs[0])
    n, c, h, w = made.shape
    image = made.as_image() if made.is_channels_last else low.image((n, c, h, w), made.dtype, NO_HALO)
    low.emit_image("resize_truncated", x, image, tables, signed=int(t.dtype is DType.I8))
    if image.buffer != made.buffer:
        low.move(image, made)
    return True


def weighted(low: Lowering, node: Node, axes: list[Axis]) -> bool:
    """A Resize of an image by taps and weights: its rows, each as one run of all columns, then its columns."""
    x, y = low.image_of(node.inputs[0]), low.place(node.outputs[0], channels_last=True).as_image()
    n, c, h, w = x.shape
    if axes[0].same and axes[1].same:
        low.move(x, y)
    elif not axes[0].same:
        if not _has_runs(x):
            view, x = x, low.image((n, c, h, w), "<f4", NO_HALO)
            low.move(view, x)
        is_last = axes[1].same and _has_runs(y)
        made = y if is_last else low.image((n, c, axes[0].out, w), "<f4", NO_HALO)
        strides = {"x_n": x.strides[0], "x_h": x.strides[2], "y_n": made.strides[0], "y_h": made.strides[2]}
        taps(low, node, axes[0], x, made, {"N": n, "C": w * c, **strides})
        x, h = made, axes[0].out
        if axes[1].same and not is_last:
            low.move(made, y)
    for image in range(0 if axes[1].same else n):
        a, b = x.part(0, image, 1), y.part(0, image, 1)
        strides = {"x_n": x.strides[2], "x_h": x.strides[3], "y_n": y.strides[2], "y_h": y.strides[3]}
        taps(low, node, axes[1], a, b, {"N": h, "C": c, **strides})
    return True


def _has_runs(place: TensorView) -> bool:
    """Whether the pixels of a row follow each other, as they do within a border, but not in every view, nor between
    channels of a concatenation."""
    return place.shape[3] == 1 or place.strides[3] == place.itemsize * place.shape[1]


def taps(low: Lowering, node: Node, axis: Axis, x: TensorView, y: TensorView, fields: dict[str, int | float]) -> None:
    indices, weights = weighted_taps(node, axis)
    constants = {"rows": low.constant(indices.astype(np.int32)), "weights": low.constant(weights)}
    low.emit("float_taps", {"x": x, "y": y}, constants, {**fields, "H": axis.out, "taps": len(weights)})


def top_k(low: Lowering, node: Node) -> bool:
    """The largest elements of rows, the last axis, with a constant count."""
    x, count = operand(low, node.inputs[0]), low.graph.constants.get(node.inputs[1])
    shape = low.type(node.inputs[0]).static_shape
    if x is None or count is None or not shape or int(node.attr("axis")) % len(shape) != len(shape) - 1:
        return False
    k, rows = int(count.ravel()[0]), prod(shape[:-1])
    if not 0 < k <= shape[-1] < 1 << 31:
        return False
    places = []
    for name, dtype in zip((*node.outputs, "")[:2], ("<f4", "<i8"), strict=True):
        places.append(low.place(name, channels_last=False) if name else low.dense((*shape[:-1], k), dtype))
    beside = [p if p.is_dense else low.dense(p.shape, p.dtype) for p in places]
    fields = {"H": rows, "C": shape[-1], "K": k, "x_h": 4 * shape[-1], "y_h": 4 * k, "place_h": 8 * k}
    operands = {"x": low.dense_of(node.inputs[0]), "y": beside[0], "place": beside[1]}
    low.emit("float_top_k", dict(operands), {}, {**fields, "largest": int(bool(node.attr("largest")))})
    for made, place in zip(beside, places, strict=True):
        if made is not place:
            low.move(made, place)
    return True


def layer_norm(low: Lowering, node: Node) -> bool:
    t = low.type(node.outputs[0])
    last = int(node.attr("axis")) % max(1, len(t.static_shape)) == len(t.static_shape) - 1
    constants = [low.graph.constants.get(i) if i else np.zeros(1, np.float32) for i in (*node.inputs[1:], "")[:2]]
    if operand(low, node.inputs[0]) is None or not last or any(node.outputs[1:]) or 0 in t.static_shape:
        return False
    if any(c is None or c.dtype != np.float32 or c.size not in (1, t.static_shape[-1]) for c in constants):
        return False
    x, y, fields = rows(low, node, 4)
    size = t.static_shape[-1]
    gain, shift = (low.constant(np.broadcast_to(np.asarray(c).reshape(-1), (size,))) for c in constants)
    epsilon = float(np.float32(node.attr("epsilon")))
    low.emit("float_layer_norm", {"x": x, "y": y}, {"gain": gain, "shift": shift}, {**fields, "f_epsilon": epsilon})
    return True
