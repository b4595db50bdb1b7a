"""Float meaning of pools."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph import Array, Node
from .float_conv import given
from .windows import Window, patches


def max_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    """The largest of each window, and, where it is asked for, its place in the tensor, int64; that of the first of
    several."""
    x = given(inputs, 0)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    win = Window.of(node, x.shape[2:], node.attr("kernel_shape"))
    view, out = patches(x, win, lowest, bool(node.attr("ceil_mode")))
    taps = tuple(range(-len(out), 0))
    return [of_nothing(view.max(taps), x, win, out), *max_indices(node, x, win, view)]


def of_nothing(best: Array, x: Array, win: Window, out: Sequence[int]) -> Array:
    """The largest of windows that hold no element is the lowest number there is."""
    counts = tap_counts(win, x.shape[2:], out)
    if x.dtype.kind != "f" or counts.all():
        return best
    return np.where(counts == 0, np.finfo(x.dtype).min, best)


def max_indices(node: Node, x: Array, win: Window, view: Array) -> list[Array]:
    """The second output of a MaxPool, int64 like the first: where in x, flattened, each maximum lies; empty where it is
    not wanted.

    view: the windows of x. The first of equal elements counts, the taps in row-major order, and what is padding never.
    storage_order 1: within an image, positions count along columns.
    """
    if not any(node.outputs[1:]):
        return []
    spatial = x.shape[2:]
    count = int(np.prod(spatial))
    order = (
        np.arange(count).reshape(spatial[::-1]).T if node.attr("storage_order") else np.arange(count).reshape(spatial)
    )
    index, out = patches(order[None, None].astype(np.int64), win, -1, bool(node.attr("ceil_mode")))
    flat, places = view.reshape(*view.shape[: -len(out)], -1), index.reshape(*index.shape[: -len(out)], -1)
    inside = np.where(places >= 0, flat, -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min)
    first = np.argmax(np.where(places >= 0, (inside == inside.max(-1, keepdims=True)) * 2 + 1, 0), -1)
    chosen = np.take_along_axis(np.broadcast_to(places, flat.shape), first[..., None], -1)[..., 0]
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * len(out)) * count
    return [np.asarray(chosen + planes, np.int64)]


def tap_counts(win: Window, spatial: Sequence[int], out: Sequence[int], padded: bool = False) -> Array:
    """How many taps of each window lie in the image, or in the image and its padding: int64 [1, 1, out...]."""
    total = np.ones((1, 1), np.int64)
    rows = zip(spatial, out, win.kernel, win.strides, win.dilations, win.begin, win.end, strict=True)
    for size, n, kernel, stride, dilation, begin, end in rows:
        at = np.arange(n)[:, None] * stride + np.arange(kernel) * dilation - begin
        inside = (at >= (-begin if padded else 0)) & (at < size + (end if padded else 0))
        total = total[..., None] * inside.sum(1)
    return total


def pool_counts(node: Node, x: Array, win: Window) -> Array:
    """Elements that each window of an AveragePool averages over, float64 [1, 1, out...]; at least 1: the mean of
    nothing is 0."""
    out = win.out(x.shape[2:], bool(node.attr("ceil_mode")))
    counts = tap_counts(win, x.shape[2:], out, bool(node.attr("count_include_pad")))
    return np.maximum(counts, 1).astype(np.float64)


def average_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    win = Window.of(node, x.shape[2:], node.attr("kernel_shape"))
    view, out = patches(x, win, 0, bool(node.attr("ceil_mode")))
    return [(view.sum(tuple(range(-len(out), 0))) / pool_counts(node, x, win)).astype(x.dtype)]


def global_average_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    return [x.mean(tuple(range(2, x.ndim)), keepdims=True)]


def global_max_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    return [x.max(tuple(range(2, x.ndim)), keepdims=True)]
