"""Float meaning of ops on regions of images: local response normalization, Lp pooling, unpooling, and pools of regions
of interest."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from ..graph import Array, Node
from . import double_math
from .float_conv import given, optional
from .float_math import larger
from .float_sums import sum_in_blocks
from .windows import Window, patches


def local_response_normalization(node: Node, inputs: list[Array | None]) -> list[Array]:
    """x / (bias + alpha / size * sum of squares) ** beta; the sum is over `size` channels, (size - 1) // 2 of them
    before."""
    x, size = given(inputs, 0), int(node.attr("size"))
    square, sums = x * x, np.zeros_like(x)
    channels = x.shape[1]
    for c in range(channels):
        first, last = c - (size - 1) // 2, c + size // 2
        sums[:, c] = total(square[:, max(0, first) : last + 1], 1)
    bias, alpha, beta = (x.dtype.type(node.attr(k)) for k in ("bias", "alpha", "beta"))
    return [x / power(bias + alpha / x.dtype.type(size) * sums, beta)]


def lp_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    """(sum of |x| ** p) ** (1 / p) over each window; what lies outside of x counts as 0."""
    x, p = given(inputs, 0), x_type(inputs)(node.attr("p"))
    win = Window.of(node, x.shape[2:], node.attr("kernel_shape"))
    view, out = patches(power(np.abs(x), p), win, 0, bool(node.attr("ceil_mode")))
    return [power(total(view.reshape(*view.shape[: -len(out)], prod(view.shape[-len(out) :])), -1), 1 / p)]


def global_lp_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    """(sum of |x| ** p) ** (1 / p) over each image."""
    x, p = given(inputs, 0), x_type(inputs)(node.attr("p"))
    sums = total(power(np.abs(x), p).reshape(*x.shape[:2], prod(x.shape[2:])), -1)
    return [power(sums, 1 / p).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))]


def lp_normalization(node: Node, inputs: list[Array | None]) -> list[Array]:
    """x over the sum of |x|, or the root of the sum of squares, along an axis; 0 where that is 0."""
    x, axis = given(inputs, 0), int(node.attr("axis"))
    if node.attr("p") == 1:
        norm = np.expand_dims(total(np.abs(x), axis), axis)
    else:
        norm = np.sqrt(np.expand_dims(total(x * x, axis), axis))
    return [np.divide(x, norm, out=np.zeros_like(x), where=norm != 0).astype(x.dtype)]


def total(x: Array, axis: int) -> Array:
    """The sum along an axis, one after the other in blocks; 0 of nothing."""
    return sum_in_blocks(np.moveaxis(x, axis, 0))


def power(x: Array, exponent: np.generic) -> Array:
    """x to a power, in float64, rounded once."""
    wide = x.astype(np.float64)
    return double_math.power(wide, np.full_like(wide, exponent)).astype(x.dtype)


def x_type(inputs: list[Array | None]) -> type:
    return given(inputs, 0).dtype.type


def max_unpool(node: Node, inputs: list[Array | None]) -> list[Array]:
    """x at the places that a MaxPool's indices say, zeros elsewhere.

    Raises ValueError where the output shape that is asked for is not the one that the window and padding give:
    onnxruntime counts the indices in the former, ONNX's own tests in the latter.
    """
    x, where, shape = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    win = Window.of(node, x.shape[2:], node.attr("kernel_shape"))
    sizes = [
        (d - 1) * s + k - b - e for d, s, k, b, e in zip(x.shape[2:], win.strides, win.kernel, win.begin, win.end,
        strict=True)
    ]  # fmt: skip
    full = (*x.shape[:2], *sizes)
    if shape is not None and full != (asked := tuple(int(v) for v in shape)):
        raise ValueError(f"output_shape {list(asked)} is not supported, only that of the window, {list(full)}")
    y = np.zeros(int(np.prod(full)), x.dtype)
    y[where.ravel()] = x.ravel()
    return [y.reshape(full)]


def roi_align(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Averages, or maxima, of bilinear samples in the cells of each region [x1, y1, x2, y2].

    x [N, C, H, W], rois [R, 4], batch indices [R] -> [R, C, height, width]. A sample more than one pixel outside of the
    image is 0. The maximum is of each sample's largest weighted corner, as onnxruntime has it. Raises ValueError for an
    image that is not there, and for a coordinate that is not finite.
    """
    half = node.attr("coordinate_transformation_mode") == "half_pixel"
    cells = int(node.attr("output_height")), int(node.attr("output_width"))
    scale, ratio = np.float32(node.attr("spatial_scale")), int(node.attr("sampling_ratio"))
    x, rois, batches = given(inputs, 0), given(inputs, 1), given(inputs, 2)
    if batches.size and not 0 <= int(batches.min()) <= int(batches.max()) < len(x):
        raise ValueError(f"batch indices from {batches.min()} to {batches.max()} of {len(x)} images")
    if not np.isfinite(rois).all():
        raise ValueError("a region with a coordinate that is not finite")
    return [aligned(x, rois, batches, cells, (scale, ratio, half, node.attr("mode") == "max"))]


def aligned(
    x: Array, rois: Array, batches: Array, cells: tuple[int, int], ways: tuple[np.float32, int, bool, bool]
) -> Array:
    """ways: factor of the regions' coordinates, samples along a side of a cell or 0, whether pixels have their centres
    at halves, and whether the largest corner is asked for."""
    (rows, columns), (scale, ratio, half, largest) = cells, ways
    y = np.zeros((len(rois), x.shape[1], rows, columns), x.dtype)
    for r, (roi, batch) in enumerate(zip(rois, batches, strict=True)):
        x1, y1, x2, y2 = (np.float32(v) * scale - np.float32(0.5 if half else 0) for v in roi)
        width, height = (x2 - x1, y2 - y1) if half else (max(x2 - x1, np.float32(1)), max(y2 - y1, np.float32(1)))
        v_at = _samples(y1, height / np.float32(rows), rows, ratio)
        u_at = _samples(x1, width / np.float32(columns), columns, ratio)
        corners = _corners(x[int(batch)], v_at.ravel(), u_at.ravel())
        shape = (len(corners), x.shape[1], *v_at.shape, *u_at.shape)
        if not largest:
            cells_ = np.moveaxis(total(corners, 0).reshape(shape[1:]), 2, 3)
            sums = total(cells_.reshape(*cells_.shape[:3], -1), -1) if cells_.size else np.zeros_like(y[r])
            y[r] = sums / np.float32(max(1, v_at.shape[1] * u_at.shape[1]))
        elif v_at.size and u_at.size:
            y[r] = _largest(np.moveaxis(corners.reshape(shape), (3, 5), (0, 1)))
    return y


def _largest(corners: Array) -> Array:
    """Maxima [C, rows, columns] of [V, U, corners, C, rows, columns], one after the other; of equal ones the last."""
    found = np.full(corners.shape[3:], -np.inf, corners.dtype)
    for corner in corners.reshape(-1, *corners.shape[3:]):
        found = larger(found, corner)
    return found


def _samples(start: np.float32, size: np.float32, cells: int, ratio: int) -> Array:
    """Coordinates [cells, samples] of the samples in each cell of a side."""
    count = ratio if ratio > 0 else max(0, int(np.ceil(size)))
    inner = (np.arange(count, dtype=np.float32) + np.float32(0.5)) * size / np.float32(max(1, count))
    return start + np.arange(cells, dtype=np.float32)[:, None] * size + inner


def _corners(image: Array, v: Array, u: Array) -> Array:
    """The four weighted corners [4, C, V, U] of bilinear samples of an image [C, H, W] at rows v and columns u."""
    rows, columns = _corner(v, image.shape[1]), _corner(u, image.shape[2])
    return np.stack([
        image[:, i][:, :, j] * (a[:, None] * b).astype(image.dtype) for (i, a), (j, b) in product(rows, columns)
    ])  # fmt: skip


def _corner(at: Array, size: int) -> list[tuple[Array, Array]]:
    """(index, weight) of the two neighbours of each coordinate; both weights are 0 where it is more than 1 outside."""
    inside = (at >= -1) & (at <= size)
    clipped = np.maximum(np.where(inside, at, np.float32(0)), 0)
    low = np.minimum(clipped.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    fraction = np.where(low >= size - 1, np.float32(0), clipped - low.astype(np.float32))
    fraction = np.where(np.isnan(at), at, fraction)
    return [(low, (1 - fraction) * inside), (high, fraction * inside)]


def max_roi_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Maxima in the cells of each region [batch, x1, y1, x2, y2], in whole pixels; 0 where a cell is empty."""
    x, rois = given(inputs, 0), given(inputs, 1)
    rows, columns = (int(v) for v in node.attr("pooled_shape"))
    scale = np.float32(node.attr("spatial_scale"))
    y = np.zeros((len(rois), x.shape[1], rows, columns), x.dtype)
    for r, roi in enumerate(rois):
        x1, y1, x2, y2 = (int(np.floor(np.float32(v) * scale + np.float32(0.5))) for v in roi[1:])
        high, wide = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for i, j in product(range(rows), range(columns)):
            top, bottom = _cell(i, high, rows, y1, x.shape[2])
            left, right = _cell(j, wide, columns, x1, x.shape[3])
            if bottom > top and right > left:
                y[r, :, i, j] = x[int(roi[0]), :, top:bottom, left:right].max((1, 2))
    return [y]


def _cell(k: int, size: int, cells: int, start: int, limit: int) -> tuple[int, int]:
    """First pixel of cell k of a side, and the one behind its last, within an image."""
    step = np.float32(size) / np.float32(cells)
    first, last = int(np.floor(np.float32(k) * step)), int(np.ceil(np.float32(k + 1) * step))
    return min(max(first + start, 0), limit), min(max(last + start, 0), limit)
