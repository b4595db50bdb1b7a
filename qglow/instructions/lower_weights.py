"""The weights of a product less their zero points, and those that 8 bits do not hold then: in parts, whose products the
kernel adds up.

Integers of 8 bits with a zero point give differences d in [-255, 255]. Kernels multiply by int8. Where d does not fit,
d = d1 + d2 (+ d3), and sum x d = sum x d1 + sum x d2: a product of twice as many input channels, of the image beside
itself.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, DType, Node, TensorType
from ..reference.arithmetic import zeros_of
from .layout import NO_HALO
from .program import Halo, TensorView
from .select import Lowering


def weights_of(low: Lowering, node: Node) -> Array:
    """Constant weights less their zero points."""
    return less_zero_points(low.graph.constants[node.inputs[1]], low.type(node.inputs[1]))


def less_zero_points(w: Array, t: TensorType) -> Array:
    """Weights less their zero points: int8 as they are where all are 0, else int16."""
    zeros = zeros_of(t, w.ndim, np.int16)
    return w if zeros is None else w.astype(np.int16) - zeros


def parts_of(w: Array) -> int:
    """How many int8 numbers the weights are sums of."""
    low, high = (0, 0) if w.dtype == np.int8 else (int(w.min(initial=0)), int(w.max(initial=0)))
    return 1 if low >= -128 and high <= 127 else 2 if low >= -256 and high <= 254 else 3


def in_parts(w: Array, parts: int, axis: int, groups: int = 1) -> Array:
    """int8 weights with `parts` times the input channels, which lie along `axis`, in groups one after the other: d1,
    d2, ... of each."""
    if parts == 1:
        return w.astype(np.int8, copy=False)
    front = np.moveaxis(w.astype(np.int16), axis, 0)
    front = front.reshape(groups, 1, -1, *front.shape[1:])
    split = np.concatenate([(front + k) // parts for k in range(parts)], 1).astype(np.int8)
    return np.moveaxis(split.reshape(-1, *split.shape[3:]), 0, axis)


def repeated_image(low: Lowering, name: str, parts: int, groups: int, halo: Halo) -> TensorView:
    """An image whose channels are, group by group, those of the value, `parts` times."""
    source = low.image_of(name, halo if parts == 1 else NO_HALO)
    if parts == 1:
        return source
    n, c, h, w = source.shape
    image = low.image((n, parts * c, h, w), source.dtype, halo)
    per, sn, sc, sh, sw = c // groups, *source.strides
    yn, yc, yh, yw = image.strides
    x = TensorView(source.buffer, source.start, (n, groups, per, h, w), (sn, per * sc, sc, sh, sw), source.dtype)
    for k in range(parts):
        strides = (yn, parts * per * yc, yc, yh, yw)
        low.move(x, TensorView(image.buffer, image.start + k * per * yc, x.shape, strides, image.dtype))
    low.fill_border(image, low.zero(name))
    return image


def repeated_rows(low: Lowering, name: str, parts: int) -> TensorView:
    """Rows [..., K] as dense rows [..., parts K], each `parts` times; as they are where that is once."""
    x = low.places[name]
    if parts == 1:
        return x
    *rows, k = x.shape
    y = low.dense((*rows, parts * k), x.dtype)
    for part in range(parts):
        low.move(x, y.part(len(rows), part * k, k))
    return y


def are_u8_by_i8(low: Lowering, node: Node) -> bool:
    x, w, y = low.type(node.inputs[0]), low.type(node.inputs[1]), low.type(node.outputs[0])
    return (
        x.dtype is DType.U8
        and w.dtype is DType.I8
        and y.dtype in (DType.U8, DType.F32)
        and node.inputs[1] in low.graph.constants
    )
