"""Integer meaning of convolutions and matrix products: exact sums, then equation (6) or, for a float output, (7)."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node, TensorType
from .arithmetic import F32, less_zeros, minus_zero_point, multiplier, product_scale, requantize
from .float_conv import convolve, convolve_transposed, given, optional

Types = list[TensorType | None]


def exact_dtype(terms: int, x: TensorType | None = None) -> type:
    """A float type in which a sum of `terms` products of magnitudes up to 255 * 255 is exact: BLAS then computes
    integers.

    x: the activations, whose elements may be of 16 bits (49).
    """
    return np.float32 if terms * 255 * 255 < 2**24 and not (x is not None and x.is_int16) else np.float64


def _typed(types: Types, index: int) -> TensorType:
    t = types[index]
    assert t is not None
    return t


def requantize_sums(acc: Array, channel_axis: int, node: Node, x: TensorType, w: TensorType, y: TensorType) -> Array:
    """(6) C(rint(f32(acc) * m) + z_y), or (7) f32(acc) * f32(s_x * s_w) where the output is float. acc: int64,
    exact."""
    groups = groups_of(node)
    m = product_scale(x, w, groups) if y.quant is None else multiplier(x, w, y, groups)
    shape = [1] * acc.ndim
    if m.size > 1:
        shape[channel_axis] = -1
    real = acc.astype(F32) * m.reshape(shape)
    return np.asarray(real.astype(F32)) if y.quant is None else requantize(real, node, y)


def groups_of(node: Node) -> int:
    """Over how many groups the scales along a weight's axis repeat: those of a transposed convolution, else 1."""
    return int(node.attr("group")) if node.op == "ConvTranspose" else 1


def conv(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    x, w, bias = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    tx, tw = _typed(types, 0), _typed(types, 1)
    dtype = exact_dtype(w.size // max(1, w.shape[0 if node.op == "Conv" else 1]), tx)
    product = convolve if node.op == "Conv" else convolve_transposed
    acc = product(minus_zero_point(x, tx, dtype), less_zeros(w, tw, dtype), node).astype(np.int64)
    if bias is not None:
        acc = acc + bias.astype(np.int64).reshape(1, -1, *(1,) * (acc.ndim - 2))
    return [requantize_sums(acc, 1, node, tx, tw, outputs[0])]


def gemm(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    x, w, bias = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    dtype = exact_dtype(x.shape[-1], types[0])
    w = less_zeros(w, _typed(types, 1), dtype)
    acc = np.matmul(minus_zero_point(x, _typed(types, 0), dtype), w.T if node.attr("transB") else w).astype(np.int64)
    acc = acc if bias is None else acc + bias
    return [requantize_sums(acc, 1, node, _typed(types, 0), _typed(types, 1), outputs[0])]


def matmul(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    a, b, bias = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    ta, tb = _typed(types, 0), _typed(types, 1)
    dtype = exact_dtype(a.shape[-1], ta)
    acc = np.asarray(np.matmul(minus_zero_point(a, ta, dtype), less_zeros(b, tb, dtype))).astype(np.int64)
    acc = acc if bias is None else acc + bias
    return [requantize_sums(acc, acc.ndim - 1, node, ta, tb, outputs[0])]
