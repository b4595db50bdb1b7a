"""Linear resampling of plain integers, which stand for no reals: bit for bit as onnxruntime without graph optimization.

Each output element is a float32 sum over the corners of its cell, rounded toward zero. The last axis goes first, in the
order of corners and in the product of a corner's weights; each product and each sum is rounded. Bytes whose channels
are the last of four axes are weighted with integers of 10 bits for each axis instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from ..graph import Array, Node
from .float_conv import given
from .float_resize import CROP, Axis, is_weighted, resampled, resize_geometry, source_positions

F32 = np.float32
ONE = 1 << 10  # of the weights of channels-last bytes
Corners = tuple[Array, Array, Array, Array]  # first and second input index, int64, and their weights, each [out]


def corner_taps(node: Node, axis: Axis, one: int = 1) -> Corners:
    """The two taps of each output element; both weights are a half where the taps are one element.

    one: 1 for float32 weights, else what integer weights sum to.
    """
    at = np.arange(axis.out, dtype=F32) if axis.scale == 1.0 else source_positions(node, axis)
    at = np.clip(at, 0, axis.size - 1).astype(F32)
    first = at.astype(np.int64)
    second = np.minimum(first + 1, axis.size - 1)
    dtype = np.dtype(F32 if one == 1 else np.int64)
    at = (at * F32(one)).astype(dtype)
    far, near = (np.abs(at - (taps * one).astype(dtype)).astype(dtype) for taps in (first, second))
    half = dtype.type(one / 2)
    same = first == second
    return first, second, np.where(same, half, near), np.where(same, half, far)


def corner_sum(x: Array, corners: Sequence[Corners], first_axis: int) -> Array:
    """The weighted sum over all corners of consecutive axes from first_axis on, in the weights' dtype."""
    dtype = corners[0][2].dtype
    total: Array | None = None
    for sides in product((0, 1), repeat=len(corners)):
        taps, weight = x, None
        for k in reversed(range(len(corners))):
            axis, w = first_axis + k, corners[k][2 + sides[k]]
            taps = taps.take(corners[k][sides[k]], axis)
            w = w.reshape(-1, *(1,) * (x.ndim - 1 - axis))
            weight = w if weight is None else weight * w
        term = taps.astype(dtype) * weight
        total = term if total is None else total + term
    assert total is not None
    return total


def truncated(node: Node, x: Array, axes: Sequence[Axis]) -> Array | None:
    """The Resize of integers x; None where onnxruntime has no such sum of corners: other axes than the last are
    resized."""
    first = x.ndim - (2 if x.ndim in (2, 4) else 3)
    if x.ndim in (2, 3, 4, 5) and all(axis.same for axis in axes[:first]):
        return _to_integers(corner_sum(x, [corner_taps(node, axis) for axis in axes[first:]], first), x.dtype)
    if x.ndim != 4 or not axes[0].same or not axes[3].same:
        return None
    is_fixed = x.dtype.itemsize == 1
    made = corner_sum(x, [corner_taps(node, axis, ONE if is_fixed else 1) for axis in axes[1:3]], 1)
    return (np.sign(made) * (np.abs(made) >> 20)).astype(x.dtype) if is_fixed else _to_integers(made, x.dtype)


def _to_integers(real: Array, dtype: np.dtype) -> Array:  # type: ignore[type-arg]
    limits = np.iinfo(dtype)
    return np.clip(np.trunc(real.astype(np.float64)), limits.min, limits.max).astype(dtype)


def resize(node: Node, inputs: list[Array | None]) -> list[Array]:
    """A Resize of floats, or of plain integers."""
    x = given(inputs, 0)
    is_mix = node.attr("mode") == "linear" and not is_weighted(node)
    if x.dtype.kind in "iu" and is_mix and node.attr("coordinate_transformation_mode") != CROP:
        y = truncated(node, x, resize_geometry(node, x.shape, inputs))
        if y is not None:
            return [y]
    return [resampled(node, inputs)]
