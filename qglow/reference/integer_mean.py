"""Integer meaning of averages, linear resampling, softmax and layer normalization."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node, TensorType
from .arithmetic import F32, minus_zero_point, requantize
from .float_conv import given
from .float_pool import pool_counts
from .float_reduce import reduction_axes
from .float_resize import linear_taps, nearest_indices, resize_geometry
from .integer_product import Types, _typed
from .windows import Window, patches

RESIZE_BITS = 11


def ratio(x: TensorType, y: TensorType) -> np.float32:
    """(13) f32(s_x / s_y)."""
    assert x.quant is not None and y.quant is not None
    return F32(x.quant.s / y.quant.s)


def _mean(acc: Array, count: Array | int, node: Node, x: TensorType, y: TensorType) -> Array:
    """(14) C(rint(f32(acc) * f32(f32(s_x / s_y) / f32(n))) + z_y); for a float output f32(acc) * f32(s_x / f32(n))."""
    if y.quant is None:
        assert x.quant is not None
        return np.asarray(acc.astype(F32) * (x.quant.s / np.asarray(count, F32)), F32)
    return requantize(acc.astype(F32) * (ratio(x, y) / np.asarray(count, F32)), node, y)


def average_pool(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    x = minus_zero_point(given(inputs, 0), _typed(types, 0))
    win = Window.of(node, x.shape[2:], node.attr("kernel_shape"))
    view, out = patches(x, win, 0, bool(node.attr("ceil_mode")))
    acc = view.sum(tuple(range(-len(out), 0)))
    return [_mean(acc, pool_counts(node, x, win), node, _typed(types, 0), outputs[0])]


def global_average_pool(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    return _reduced(node, given(inputs, 0), types, outputs, tuple(range(2, given(inputs, 0).ndim)), True)


def reduce_mean(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    axes = reduction_axes(node, inputs, given(inputs, 0).ndim)
    return _reduced(node, given(inputs, 0), types, outputs, axes, bool(node.attr("keepdims")))


def _reduced(
    node: Node, stored: Array, types: Types, outputs: list[TensorType], axes: tuple[int, ...], keep: bool
) -> list[Array]:
    x = minus_zero_point(stored, _typed(types, 0))
    acc = x.sum(axes, keepdims=keep)  # type: ignore[call-overload]
    return [_mean(acc, int(np.prod([x.shape[a] for a in axes])), node, _typed(types, 0), outputs[0])]


def resize(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    """Nearest moves integers. Linear: (15) weights w = rint(2^11 t), exact sums, m = f32(s_x / s_y) * 2^(-11 axes)."""
    x, tx, ty = given(inputs, 0), _typed(types, 0), outputs[0]
    shape = x.shape
    if node.attr("mode") == "nearest":
        for k, axis in enumerate(resize_geometry(node, shape, inputs)):
            x = x if axis.same else x.take(nearest_indices(node, axis), k)
        return [x]
    acc, bits = minus_zero_point(x, tx, np.int64), 0
    for k, axis in enumerate(resize_geometry(node, shape, inputs)):
        if axis.same:
            continue
        low, high, weight = linear_taps(node, axis)
        w = np.rint(weight * 2**RESIZE_BITS).astype(np.int64).reshape(-1, *(1,) * (x.ndim - 1 - k))
        acc = acc.take(low, k) * (2**RESIZE_BITS - w) + acc.take(high, k) * w
        bits += RESIZE_BITS
    return [requantize(acc.astype(F32) * (ratio(tx, ty) * F32(2.0**-bits)), node, ty)]


def exponent_table(scale: float) -> Array:
    """(16) T[d] = rint(exp(-s d) 2^23), int32 [256]: the exponentials of a softmax, by distance from the row's
    maximum."""
    return np.rint(np.exp(-float(scale) * np.arange(256, dtype=np.float64)) * 2**23).astype(np.int32)


def softmax(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    """(17) C(rint(f32(T[max - q]) * (f32(1 / s_y) / f32(S))) + z_y), S the exact sum of T along the axis."""
    q, table, ty = given(inputs, 0).astype(np.int32), given(inputs, 1), outputs[0]
    axis = int(node.attr("axis"))
    t = table[q.max(axis, keepdims=True) - q]
    total = t.astype(np.int64).sum(axis, keepdims=True)
    assert ty.quant is not None
    return [requantize(t.astype(F32) * (F32(1) / ty.quant.s / total.astype(F32)), node, ty)]


def layer_normalization(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    """(18) v = n S2 - S1^2 exact; r = 1 / sqrt(f32(v) + f32(eps n^2 / s^2)); C(rint(f32(n q - S1) r g + b) + z_y).

    Inputs 1 and 2 are g = f32(gamma / s_y) and b = f32(beta / s_y), float32 [n]; the last axis is normalized.
    """
    q, g, b, tx = given(inputs, 0).astype(np.int64), given(inputs, 1), given(inputs, 2), _typed(types, 0)
    n = q.shape[-1]
    s1, s2 = q.sum(-1, keepdims=True), (q * q).sum(-1, keepdims=True)
    assert tx.quant is not None
    eps = F32(float(node.attr("epsilon")) * n * n / float(tx.quant.s) ** 2)
    r = F32(1) / np.sqrt((n * s2 - s1 * s1).astype(F32) + eps)
    return [requantize((n * q - s1).astype(F32) * r * g + b, node, outputs[0])]
