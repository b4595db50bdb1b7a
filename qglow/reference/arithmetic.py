"""The law of arithmetic (docs/quantization.md): float32, every operation rounded once, rint to nearest even."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node, TensorType

F32 = np.float32


def bounds(node: Node, t: TensorType) -> tuple[int, int]:
    """The limits that an output is clamped to: the dtype's, or the node's narrower `qmin` and `qmax`."""
    low, high = t.limits()
    return int(node.attributes.get("qmin", low)), int(node.attributes.get("qmax", high))


def clamped(rounded: Array, low: int, high: int) -> Array:
    """Between two integers, infinities too; NaN, which no integer stands for, becomes the lower one, as in
    onnxruntime."""
    return np.asarray(np.fmin(np.fmax(rounded, F32(low)), F32(high)))


def requantize(real: Array, node: Node, t: TensorType) -> Array:
    """(1) C(rint(y) + z): float32 in units of the output's scale to stored integers."""
    assert t.quant is not None
    return clamped(np.rint(real) + F32(t.quant.z), *bounds(node, t)).astype(t.dtype.numpy)


def quantize(x: Array, t: TensorType) -> Array:
    """(2) C(rint(x / s) + z), per tensor or per axis."""
    assert t.quant is not None
    s, z = _along(t.quant.scale, t, x.ndim, np.float32), _along(t.quant.zero_point, t, x.ndim, np.float32)
    with np.errstate(all="ignore"):  # NOTE: what a mask holds lies far beyond the range of its scores
        return np.asarray(clamped(np.rint(x.astype(F32) / s) + z, *t.limits()).astype(t.dtype.numpy))


def dequantize(q: Array, t: TensorType) -> Array:
    """(3) f32(q - z) * s, per tensor or per axis."""
    assert t.quant is not None
    s, z = _along(t.quant.scale, t, q.ndim, np.float32), _along(t.quant.zero_point, t, q.ndim, np.int32)
    return np.asarray((q.astype(np.int32) - z).astype(F32) * s)


def _along(values: tuple[float, ...] | tuple[int, ...], t: TensorType, rank: int, dtype: type) -> Array:
    assert t.quant is not None
    array: Array = np.array(values, dtype)
    if t.quant.axis is None:
        return array.reshape(())
    shape = [1] * rank
    shape[t.quant.axis] = -1
    return array.reshape(shape)


def zeros_of(t: TensorType, rank: int, dtype: type) -> Array | None:
    """Zero points as they broadcast over a tensor, None where all are 0."""
    assert t.quant is not None
    return _along(t.quant.zero_point, t, rank, dtype) if any(t.quant.zero_point) else None


def less_zeros(q: Array, t: TensorType, dtype: type) -> Array:
    """q - z in a wider type, with a zero point of the tensor or of each index of an axis."""
    zeros = zeros_of(t, q.ndim, dtype)
    return q.astype(dtype) if zeros is None else np.asarray(q.astype(dtype) - zeros)


def minus_zero_point(q: Array, t: TensorType, dtype: type = np.int32) -> Array:
    """q - z in a wider type."""
    assert t.quant is not None
    return q.astype(dtype) - dtype(t.quant.z)


def product_scale(x: TensorType, w: TensorType, groups: int = 1) -> Array:
    """(4) f32(s_x * s_w): the scale of an accumulator, one entry, or one an output channel.

    groups: of a transposed convolution, whose weights have the output channels of one group along their axis.
    """
    assert x.quant is not None and w.quant is not None
    scales = np.array(w.quant.scale, F32)
    return np.asarray(
        F32(x.quant.scale[0]) * (scales if w.quant.axis is None or groups == 1 else np.tile(scales, groups))
    )


def multiplier(x: TensorType, w: TensorType, y: TensorType, groups: int = 1) -> Array:
    """(5) m = f32(f32(s_x * s_w) / s_y). groups: see `product_scale`."""
    assert y.quant is not None
    return np.asarray(product_scale(x, w, groups) / F32(y.quant.scale[0]))


def within_int32(worst: Array, scale: Array | None) -> bool:
    """Whether int32 holds sums of these magnitudes, or whether it does not matter: where 2^31 of them are less than
    half a step.

    scale: from a sum to steps of the output; None where that is float.
    """
    beyond = worst >= 2**31 - 1
    nothing = False if scale is None else np.maximum(worst, 2.0**31) * scale < 0.49
    return not bool((beyond & ~np.asarray(nothing)).any())
