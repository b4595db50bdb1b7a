"""Pools, means over axes, and resampling."""

from __future__ import annotations

from math import prod

import numpy as np

from ..graph import Node, TensorType
from ..reference.float_reduce import reduction_axes
from ..reference.float_resize import linear_taps, nearest_indices, resize_geometry
from ..reference.integer_mean import RESIZE_BITS, ratio
from ..reference.windows import Window
from .layout import conv_window, window_fields
from .lower_pointwise import INT16, MAX_ROUNDED, Fields, are_finite, fitting, form_of, int16_limits, limits
from .program import TensorView
from .select import Lowering


def full_window(size: tuple[int, ...]) -> Window:
    """One window over all of an image."""
    return Window(size, (1, 1), (1, 1), (0, 0), (0, 0))


def max_pool(low: Lowering, node: Node) -> bool:
    form = form_of(low, node, node.inputs[0])
    if form is None or low.type(node.inputs[0]).rank not in (3, 4):
        return False
    x = low.image_of(node.inputs[0])
    win = conv_window(low.graph, node)[1] if node.op == "MaxPool" else full_window(x.shape[2:])
    y = low.place(node.outputs[0], channels_last=True).as_image()
    low.emit_image(f"{form}max_pool2d", x, y, **window_fields(win), **inside(x, win))
    return True


def inside(x: TensorView, win: Window) -> Fields:
    """Where the taps of a window lie within an image."""
    return {"IH": x.shape[2], "IW": x.shape[3], "top": win.begin[0], "left": win.begin[1]}


def average_pool(low: Lowering, node: Node) -> bool:
    t = low.type(node.inputs[0])
    if form_of(low, node, node.inputs[0]) is None or t.rank not in (3, 4):
        return False
    include = node.op == "AveragePool" and bool(node.attr("count_include_pad"))
    if include and node.attr("ceil_mode"):  # NOTE: of a window that reaches beyond the padding a part is counted
        return False
    win = conv_window(low.graph, node)[1] if node.op == "AveragePool" else None
    if not mean_fits(low, node, prod(t.static_shape[2:] if win is None else win.kernel)):
        return False
    x = low.image_of(node.inputs[0])
    y = low.place(node.outputs[0], channels_last=True).as_image()
    mean(low, node, x, y, win or full_window(x.shape[2:]), include)
    return True


def mean_fits(low: Lowering, node: Node, count: int) -> bool:
    """Whether int32 holds the sum of so many elements, and, where it is rounded before it is clamped, the mean in units
    of the output's scale."""
    x, y = low.type(node.inputs[0]), low.type(node.outputs[0])
    assert x.quant is not None
    if count * max(abs(v - (x.quant.z if x.is_int16 else 0)) for v in x.limits()) >= 2**31:
        return low.refuse(f"int32 does not hold a sum of {count} elements{' of 16 bits' if x.is_int16 else ''}")
    most = 255 * factor_of(x, y)
    if not are_finite(most) or (not x.is_int16 and y.quant is not None and most >= MAX_ROUNDED):
        return low.refuse("its scales are so far apart that int32 does not hold the mean")
    return True


def factor_of(x: TensorType, y: TensorType) -> float:
    """By what a mean is multiplied."""
    assert x.quant is not None
    with np.errstate(all="ignore"):
        return float(x.quant.s if y.quant is None else ratio(x, y))


def mean(low: Lowering, node: Node, x: TensorView, y: TensorView, win: Window, include: bool = False) -> None:
    x_type, y_type = low.type(node.inputs[0]), low.type(node.outputs[0])
    kind = "int16_avg_pool2d" if x_type.is_int16 else "avg_pool2d"
    zero = low.zero(node.inputs[0])
    stored = {"zero": 0, "low": 0, "high": 0, "y_f32": 1} if y_type.quant is None else {**limits(low, node), "y_f32": 0}
    fields = {**stored, **int16_limits(low, node), "include": int(include), "x_zero": zero, "q_x_zero": zero}
    fields |= {**window_fields(win), **inside(x, win), "f_ratio": factor_of(x_type, y_type)}
    low.emit_image(kind, x, y, **fitting(kind, fields))


def reduce_mean(low: Lowering, node: Node) -> bool:
    """The mean of adjacent axes is a pool over an image whose pixels are those axes and whose channels are the axes
    after them."""
    t = low.type(node.inputs[0])
    if form_of(low, node, node.inputs[0]) is None or not t.static_shape:
        return False
    if any(i not in low.graph.constants for i in node.inputs[1:] if i):
        return False
    inputs = [np.broadcast_to(np.zeros(()), t.static_shape), *(low.graph.constants[i] for i in node.inputs[1:] if i)]
    axes = sorted(reduction_axes(node, inputs, len(t.static_shape)))  # type: ignore[arg-type]
    shape = t.static_shape
    if not axes or axes != list(range(axes[0], axes[-1] + 1)):
        return False
    before, middle, after = (
        int(np.prod(part)) for part in (shape[: axes[0]], shape[axes[0] : axes[-1] + 1], shape[axes[-1] + 1 :])
    )
    if not mean_fits(low, node, middle):
        return False
    y = low.place(node.outputs[0], channels_last=None)
    item = y.itemsize
    if len(shape) == 4 and axes == [2, 3] and low.places[node.inputs[0]].is_channels_last:
        x = low.image_of(node.inputs[0])
        kept = y.strides[:2]
        if kept[1] != item and shape[1] > 1:
            return False
        image_y = TensorView(y.buffer, y.start, (shape[0], shape[1], 1, 1), (kept[0], item, 0, 0), y.dtype)
        mean(low, node, x, image_y, full_window(shape[2:]))
        return True
    if not y.is_dense:
        return False
    x = low.dense_of(node.inputs[0])
    row = after * x.itemsize
    strides = (middle * row, x.itemsize, middle * row, row)
    image_x = TensorView(x.buffer, x.start, (before, after, 1, middle), strides, x.dtype)
    image_y = TensorView(
        y.buffer, y.start, (before, after, 1, 1), (after * item, item, after * item, after * item), y.dtype
    )
    mean(low, node, image_x, image_y, full_window((1, middle)))
    return True


def resize(low: Lowering, node: Node) -> bool:
    t, mode = low.type(node.inputs[0]), node.attr("mode")
    form = form_of(low, node, node.inputs[0])
    if form is None or t.rank != 4 or (form == INT16 and mode != "nearest"):
        return False
    constants = [low.graph.constants.get(i) if i else None for i in node.inputs[1:]]
    geometry = resize_geometry(node, t.static_shape, [None, *constants])
    if not all(axis.same for axis in geometry[:2]):
        return False
    if mode == "linear" and 255 * float(ratio(t, low.type(node.outputs[0]))) >= MAX_ROUNDED:
        return low.refuse("its scales are so far apart that int32 does not hold its sums")
    x = low.image_of(node.inputs[0])
    y = low.place(node.outputs[0])
    if mode == "nearest":
        rows, columns = (nearest_indices(node, geometry[k]).astype(np.int32) for k in (2, 3))
        moved = {"rows": low.constant(rows), "columns": low.constant(columns)}
        low.emit_image("resize_nearest", x, y, moved, C=x.itemsize * x.shape[1])
        return True
    tables, ones, bits = {}, {}, 0
    for name, one, axis in zip(("rows", "columns"), ("one_h", "one_w"), geometry[2:], strict=True):
        if axis.same:
            index = np.arange(axis.out)
            tables[name], ones[one] = low.constant(np.stack([index, index, 0 * index]).astype(np.int32)), 1
            continue
        before, after, weight = linear_taps(node, axis)
        tables[name] = low.constant(np.stack([before, after, np.rint(weight * 2**RESIZE_BITS)]).astype(np.int32))
        ones[one] = 2**RESIZE_BITS
        bits += RESIZE_BITS
    m = float(ratio(t, low.type(node.outputs[0])) * np.float32(2.0**-bits))
    low.emit_image("resize_linear", x, y, tables, **ones, x_zero=low.zero(node.inputs[0]), f_m=m, **limits(low, node))
    return True
