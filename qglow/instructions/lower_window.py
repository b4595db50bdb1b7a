"""Pools, means over axes, and resampling."""

from __future__ import annotations

import numpy as np

from ..graph import DType, Node
from ..reference.float_reduce import reduction_axes
from ..reference.float_resize import linear_taps, nearest_indices, resize_geometry
from ..reference.integer_mean import RESIZE_BITS, ratio
from ..reference.windows import Window
from .layout import conv_window, window_fields
from .lower_pointwise import MAX_ROUNDED, Fields, limits
from .program import TensorView
from .select import Lowering


def full_window(size: tuple[int, ...]) -> Window:
    """One window over all of an image."""
    return Window(size, (1, 1), (1, 1), (0, 0), (0, 0))


def max_pool(low: Lowering, node: Node) -> bool:
    t = low.type(node.inputs[0])
    if t.dtype is not DType.U8 or t.rank not in (3, 4):
        return False
    x = low.image_of(node.inputs[0])
    if node.op == "MaxPool":
        _, win = conv_window(low.graph, node)
    else:
        win = full_window(x.shape[2:])
    y = low.place(node.outputs[0]).as_image()
    low.emit_image(
        "max_pool2d", x, y, **window_fields(win), IH=x.shape[2], IW=x.shape[3], top=win.begin[0], left=win.begin[1]
    )
    return True


def average_pool(low: Lowering, node: Node) -> bool:
    t = low.type(node.inputs[0])
    if t.dtype is not DType.U8 or t.rank not in (3, 4):
        return False
    include = node.op == "AveragePool" and bool(node.attr("count_include_pad"))
    if node.op == "AveragePool":
        _, win = conv_window(low.graph, node)
        if include and node.attr("ceil_mode"):  # NOTE: of a window that reaches beyond the padding a part is counted
            return False
        kernel = win.kernel
    else:
        kernel = t.static_shape[2:]
    if not mean_fits(low, node, int(np.prod(kernel))):
        return False
    x = low.image_of(node.inputs[0])
    if node.op == "GlobalAveragePool":
        win = full_window(x.shape[2:])
    mean(low, node, x, low.place(node.outputs[0], channels_last=True).as_image(), win, include)
    return True


def mean_fits(low: Lowering, node: Node, count: int) -> bool:
    """Whether int32 holds the sum of so many elements, and the mean in units of the output's scale."""
    x, y = low.type(node.inputs[0]), low.type(node.outputs[0])
    if count * 255 >= 2**31:
        return low.refuse(f"int32 does not hold a sum of {count} elements")
    if y.quant is not None and 255 * float(ratio(x, y)) >= MAX_ROUNDED:
        return low.refuse("its scales are so far apart that int32 does not hold the mean")
    return True


def mean(low: Lowering, node: Node, x: TensorView, y: TensorView, win: Window, include: bool = False) -> None:
    x_type, y_type = low.type(node.inputs[0]), low.type(node.outputs[0])
    if y_type.quant is None:
        assert x_type.quant is not None
        fields: Fields = {"f_ratio": float(x_type.quant.s), "zero": 0, "low": 0, "high": 0, "y_f32": 1}
    else:
        fields = {"f_ratio": float(ratio(x_type, y_type)), **limits(low, node), "y_f32": 0}
    low.emit_image("avg_pool2d", x, y, **window_fields(win), IH=x.shape[2], IW=x.shape[3], top=win.begin[0],
        left=win.begin[1], include=int(include),
                   x_zero=low.zero(node.inputs[0]), **fields)  # fmt: skip


def reduce_mean(low: Lowering, node: Node) -> bool:
    """The mean of adjacent axes is a pool over an image whose pixels are those axes and whose channels are the axes
    after them."""
    t = low.type(node.inputs[0])
    if t.dtype is not DType.U8 or any(i not in low.graph.constants for i in node.inputs[1:] if i) or not t.static_shape:
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
    image_x = TensorView(
        x.buffer, x.start, (before, after, 1, middle), (middle * after, 1, middle * after, after), x.dtype
    )
    image_y = TensorView(
        y.buffer, y.start, (before, after, 1, 1), (after * item, item, after * item, after * item), y.dtype
    )
    mean(low, node, image_x, image_y, full_window((1, middle)))
    return True


def resize(low: Lowering, node: Node) -> bool:
    t, mode = low.type(node.inputs[0]), node.attr("mode")
    if t.dtype is not DType.U8 or t.rank != 4:
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
        low.emit_image("resize_nearest", x, y, {"rows": low.constant(rows), "columns": low.constant(columns)})
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
