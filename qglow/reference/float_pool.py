"""Float meaning of pools and resampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from ..graph import Array, Node
from .float_conv import given, optional
from .float_table import float_op
from .windows import Window, patches


@float_op("MaxPool")
def max_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    win = Window.of(node, x.shape[2:], node.attr("kernel_shape"))
    view, out = patches(x, win, lowest, bool(node.attr("ceil_mode", 0)))
    return [view.max(tuple(range(-len(out), 0))), *max_indices(node, x, win, view)]


def max_indices(node: Node, x: Array, win: Window, view: Array) -> list[Array]:
    """The second output of a MaxPool, int64 like the first: where in x, flattened, each maximum lies; empty where it is not wanted.

    view: the windows of x. The first of equal elements counts, the taps in row-major order. storage_order 1: within an image, positions
    count along columns.
    """
    if not any(node.outputs[1:]):
        return []
    rank, out = len(win.kernel), view.shape[2 : 2 + len(win.kernel)]
    taps = np.unravel_index(view.reshape(*view.shape[:-rank], -1).argmax(-1), win.kernel)
    where = np.zeros(view.shape[:-rank], np.int64)
    axes = range(rank) if not node.attr("storage_order", 0) else reversed(range(rank))
    for k in axes:
        start = (np.arange(out[k]) * win.strides[k] - win.begin[k]).reshape(-1, *(1,) * (rank - 1 - k))
        where = where * x.shape[2 + k] + start + taps[k] * win.dilations[k]
    images = np.arange(x.shape[0] * x.shape[1], dtype=np.int64).reshape(*x.shape[:2], *(1,) * rank)
    return [where + images * int(np.prod(x.shape[2:]))]


def pool_counts(node: Node, x: Array, win: Window) -> Array:
    """Elements that each window of an AveragePool averages over, float64 [1, 1, out...]."""
    include = bool(node.attr("count_include_pad", 0))
    ones = np.ones((1, 1, *x.shape[2:]))
    if include:
        ones = np.pad(ones, [(0, 0), (0, 0), *zip(win.begin, win.end, strict=True)], constant_values=1)
        win = Window(win.kernel, win.strides, win.dilations, (0,) * len(win.kernel), (0,) * len(win.kernel))
    view, out = patches(ones, win, 0.0, bool(node.attr("ceil_mode", 0)))
    return cast(Array, view.sum(tuple(range(-len(out), 0))))


@float_op("AveragePool")
def average_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    win = Window.of(node, x.shape[2:], node.attr("kernel_shape"))
    view, out = patches(x, win, 0, bool(node.attr("ceil_mode", 0)))
    return [(view.sum(tuple(range(-len(out), 0))) / pool_counts(node, x, win)).astype(x.dtype)]


@float_op("GlobalAveragePool")
def global_average_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    return [x.mean(tuple(range(2, x.ndim)), keepdims=True)]


@float_op("GlobalMaxPool")
def global_max_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    return [x.max(tuple(range(2, x.ndim)), keepdims=True)]


def resize_geometry(node: Node, inputs: list[Array | None]) -> list[tuple[int, int, float]]:
    """(input size, output size, scale) of every axis of a Resize (x, roi, scales, sizes)."""
    x, scales, sizes = given(inputs, 0), optional(inputs, 2), optional(inputs, 3)
    axes = node.attr("axes") or tuple(range(x.ndim))
    result: list[tuple[int, int, float]] = [(d, d, 1.0) for d in x.shape]
    for k, axis in enumerate(axes):
        d = x.shape[axis]
        if sizes is not None and sizes.size:
            result[axis] = (d, int(sizes[k]), int(sizes[k]) / d)
        else:
            assert scales is not None
            result[axis] = (d, int(np.floor(d * float(scales[k]))), float(scales[k]))
    return result


def source_positions(node: Node, size: int, out: int, scale: float) -> Array:
    """Where each output index of one axis lies in the input, float64 [out] (ONNX coordinate_transformation_mode)."""
    mode = node.attr("coordinate_transformation_mode", "half_pixel")
    k = np.arange(out, dtype=np.float64)
    if mode == "asymmetric":
        return k / scale
    if mode == "align_corners":
        return k * (size - 1) / (out - 1) if out > 1 else np.zeros(out)
    if mode == "pytorch_half_pixel" and out == 1:
        return np.zeros(1)
    if mode == "half_pixel_symmetric":
        centre = size / 2 * (1 - out / (scale * size))
        return centre + (k + 0.5) / scale - 0.5
    assert mode in ("half_pixel", "pytorch_half_pixel"), f"coordinate_transformation_mode {mode} is not supported"
    return (k + 0.5) / scale - 0.5


def nearest_indices(node: Node, size: int, out: int, scale: float) -> Array:
    """The input index that each output index of one axis takes, int64 [out]."""
    at = source_positions(node, size, out, scale)
    mode = node.attr("nearest_mode", "round_prefer_floor")
    rounding: dict[str, Callable[[Array], Array]] = {
        "floor": np.floor, "ceil": np.ceil,
        "round_prefer_floor": lambda v: np.ceil(v - 0.5), "round_prefer_ceil": lambda v: np.floor(v + 0.5),
    }  # fmt: skip
    return np.clip(rounding[mode](at), 0, size - 1).astype(np.int64)


def linear_taps(node: Node, size: int, out: int, scale: float) -> tuple[Array, Array, Array]:
    """Two input indices and the weight of the second for each output index of one axis: int64, int64, float64 [out]."""
    at = np.clip(source_positions(node, size, out, scale), 0, size - 1)
    low = np.floor(at).astype(np.int64)
    return low, np.minimum(low + 1, size - 1), at - low


@float_op("Resize")
def resize(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    mode = node.attr("mode", "nearest")
    assert mode in ("nearest", "linear"), f"Resize mode {mode} is not supported"
    for axis, (size, out, scale) in enumerate(resize_geometry(node, inputs)):
        if size == out and scale == 1.0:
            continue
        if mode == "nearest":
            x = x.take(nearest_indices(node, size, out, scale), axis)
            continue
        low, high, weight = linear_taps(node, size, out, scale)
        w = weight.astype(np.float32).reshape(-1, *(1,) * (x.ndim - 1 - axis))
        x = (x.take(low, axis) * (1 - w) + x.take(high, axis) * w).astype(x.dtype)
    return [x]
