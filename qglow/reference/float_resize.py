"""Resampling: where an output element lies in the input, and of which elements it is the sum (ONNX Resize-19, in
float32 as onnxruntime).

A Resize is one axis after the other. `nearest` takes one element, `linear` mixes two; `cubic`, and what `antialias`
widens, are sums of several elements in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..graph import Array, Node
from ..record import NamedTuple
from .float_conv import given, optional

F32 = np.float32
CROP = "tf_crop_and_resize"
Taps = tuple[Array, Array]  # input indices int64 and weights float32, each [taps, out]


class Axis(NamedTuple):
    """One axis of a Resize: sizes, the scale between them, and the part of the input that a crop takes, of a length of
    1."""

    size: int
    out: int
    scale: float
    begin: float = 0.0
    end: float = 1.0

    @property
    def same(self) -> bool:
        """Whether every output element is the input's."""
        return self == Axis(self.size, self.size, 1.0)


def resize_geometry(node: Node, shape: tuple[int, ...], inputs: Sequence[Array | None]) -> list[Axis]:
    """Every axis of a Resize (x, roi, scales, sizes) of an x of this shape. Raises ValueError where scales or sizes are
    not one an axis.

    NOTE: a crop's size is that of the whole input by the scale, in onnxruntime as in onnx's reference, against the
    words of the schema.
    """
    roi, scales, sizes = optional(inputs, 1), optional(inputs, 2), optional(inputs, 3)
    axes = [normalize_axis_index(int(a), len(shape)) for a in node.attr("axes") or range(len(shape))]
    crops = {a: (0.0, 1.0) for a in axes}
    if node.attr("coordinate_transformation_mode") == CROP and roi is not None and roi.size:
        starts, ends = roi.reshape(2, len(axes))
        crops = {a: (float(s), float(e)) for a, s, e in zip(axes, starts, ends, strict=True)}
    by_size = sizes is not None and sizes.size > 0
    wanted = sizes if by_size else scales
    if wanted is None or wanted.size != len(axes):
        raise ValueError(f"expected {len(axes)} scales or sizes, got {0 if wanted is None else wanted.size}")
    result = [Axis(d, d, 1.0) for d in shape]
    ratios = [float(v) / shape[a] for a, v in zip(axes, wanted.ravel(), strict=True)] if by_size else []
    policy = str(node.attr("keep_aspect_ratio_policy"))
    for a, v in zip(axes, wanted.ravel(), strict=True):
        size, (begin, end) = shape[a], crops[a]
        if not by_size:
            result[a] = Axis(size, int(np.floor(F32(size) * F32(v))), float(v), begin, end)
        elif policy == "stretch":
            result[a] = Axis(size, int(v), float(F32(v) / F32(size)), begin, end)
        else:
            scale = F32(min(ratios) if policy == "not_larger" else max(ratios))
            result[a] = Axis(size, int(np.floor(scale * F32(size) + F32(0.5))), float(scale), begin, end)
    return result


def source_positions(node: Node, axis: Axis) -> Array:
    """Where each output index lies in the input, float32 [out] (coordinate_transformation_mode)."""
    mode = node.attr("coordinate_transformation_mode")
    size, out, scale = axis.size, axis.out, F32(axis.scale)
    k, half = np.arange(out, dtype=F32), F32(0.5)
    if mode == "asymmetric":
        return k / scale
    if mode == "align_corners":
        return k * F32(size - 1) / F32(out - 1) if out > 1 else np.zeros(out, F32)
    if mode == CROP:
        begin, end = F32(axis.begin), F32(axis.end)
        if out <= 1:
            return np.full(out, half * (begin + end) * F32(size - 1), F32)
        return begin * F32(size - 1) + k * (end - begin) * F32(size - 1) / F32(out - 1)
    if mode == "pytorch_half_pixel" and out == 1:
        return np.zeros(1, F32)
    if mode == "tf_half_pixel_for_nn":
        return (k + half) / scale
    if mode == "half_pixel_symmetric":  # in float64 behind the offset, as onnxruntime
        offset = F32(size / 2) * (F32(1) - F32(out) / (scale * F32(size)))
        return (float(offset) + (k.astype(np.float64) + 0.5) / float(scale) - 0.5).astype(F32)
    if mode not in ("half_pixel", "pytorch_half_pixel"):
        raise ValueError(f"coordinate_transformation_mode {mode} is not supported")
    return (k + half) / scale - half


_ROUNDING: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor, "ceil": np.ceil,
    "round_prefer_floor": lambda v: np.ceil(v - F32(0.5)), "round_prefer_ceil": lambda v: np.floor(v + F32(0.5)),
}  # fmt: skip


def nearest_indices(node: Node, axis: Axis) -> Array:
    """The input index that each output index takes, int64 [out]."""
    at = np.arange(axis.out, dtype=F32) if axis.scale == 1.0 and axis.size == axis.out else source_positions(node, axis)
    rounded = _ROUNDING[str(node.attr("nearest_mode"))](at)
    return np.clip(rounded, 0, axis.size - 1).astype(np.int64)


def linear_taps(node: Node, axis: Axis) -> tuple[Array, Array, Array]:
    """Two input indices and the weight of the second for each output index: int64, int64, float32 [out]."""
    at = np.clip(source_positions(node, axis), 0, axis.size - 1).astype(F32)
    low = np.floor(at).astype(np.int64)
    return low, np.minimum(low + 1, axis.size - 1), at - low.astype(F32)


def _triangle(d: Array, a: float) -> Array:
    return np.clip(1 - np.abs(d), 0, 1)


def _cubic(d: Array, a: float) -> Array:
    """Keys' kernel: 1 at 0, and 0 from a distance of 2 on."""
    d = np.abs(d)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def weighted_taps(node: Node, axis: Axis) -> Taps:
    """Every element that an output element is a sum of, and its weight: of cubic, or of linear that is widened against
    aliases."""
    cubic, outside = node.attr("mode") == "cubic", bool(node.attr("exclude_outside"))
    kernel, radius = (_cubic, 2) if cubic else (_triangle, 1)
    narrow = min(1.0, axis.scale) if node.attr("antialias") else 1.0
    at = source_positions(node, axis).astype(np.float64)
    first = int(np.floor(-radius / narrow)) + 1
    index = np.floor(at).astype(np.int64) + np.arange(first, 2 - first)[:, None]
    weight = kernel((index - at) * narrow, float(node.attr("cubic_coeff_a")))
    if outside:
        weight = np.where((index >= 0) & (index < axis.size), weight, 0.0)
    if outside or narrow < 1:
        weight = weight / sum(weight)  # NOTE: one row after the other; numpy's sum has an order of its own
    return np.clip(index, 0, axis.size - 1), weight.astype(F32)


def is_weighted(node: Node) -> bool:
    """Whether a Resize has taps and weights of its own: else it is a choice of elements, or a mix of two."""
    return node.attr("mode") == "cubic" or (node.attr("mode") == "linear" and bool(node.attr("antialias")))


def weighted(x: Array, taps: Taps, axis: int) -> Array:
    """The sum of the taps along an axis, one after the other, each product and each sum rounded once."""
    indices, weights = taps
    dtype = np.float64 if x.dtype == np.float64 else F32
    total: Array | None = None
    for index, weight in zip(indices, weights, strict=True):
        term = x.take(index, axis).astype(dtype) * weight.astype(dtype).reshape(-1, *(1,) * (x.ndim - 1 - axis))
        total = term if total is None else total + term
    assert total is not None
    return total


def mixed(x: Array, low: Array, high: Array, weight: Array, axis: int) -> Array:
    """x[low] (1 - w) + x[high] w along an axis; x[low] where w is 0."""
    w = weight.astype(F32).reshape(-1, *(1,) * (x.ndim - 1 - axis))
    first = x.take(low, axis)
    return np.where(w == 0, first, first * (F32(1) - w) + x.take(high, axis) * w)


def resampled(node: Node, inputs: list[Array | None]) -> Array:
    """A Resize of any mode. Integers are rounded in the end: toward zero where two are mixed, else to the nearest."""
    x, mode = given(inputs, 0), node.attr("mode")
    y = given(inputs, 0)
    axes = resize_geometry(node, y.shape, inputs)
    if mode not in ("nearest", "linear", "cubic"):
        raise ValueError(f"Resize mode {mode} is not supported")
    for k, axis in enumerate(axes):
        if axis.same:
            continue
        if mode == "nearest":
            y = y.take(nearest_indices(node, axis), k)
        elif is_weighted(node):
            y = weighted(y, weighted_taps(node, axis), k)
        else:
            y = mixed(y, *linear_taps(node, axis), k)
    if node.attr("coordinate_transformation_mode") == CROP:
        y = _beyond(node, axes, y)
    if x.dtype.kind in "iu" and mode != "nearest":
        limits = np.iinfo(x.dtype)
        y = np.clip(np.rint(y) if is_weighted(node) else np.trunc(y), limits.min, limits.max)
    return y.astype(x.dtype)


def _beyond(node: Node, axes: list[Axis], y: Array) -> Array:
    """Elements that a crop takes from beyond the input have `extrapolation_value`."""
    outside = np.zeros((1,) * y.ndim, np.bool_)
    for k, axis in enumerate(axes):
        at = source_positions(node, axis)
        beyond = (at < 0) | (at > axis.size - 1) if not axis.same else np.zeros(axis.out, np.bool_)
        outside = outside | beyond.reshape([-1 if j == k else 1 for j in range(y.ndim)])
    return np.where(outside, y.dtype.type(node.attr("extrapolation_value")), y)
