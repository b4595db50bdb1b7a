"""Float meaning of convolutions, matrix products and normalizations. BLAS does the products: this is the calibration
engine."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any, cast

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..graph import Array, Node
from .windows import Window, pad_spatial, windows

NEAR = 1 << 17  # bytes that stay near while all taps of a depthwise convolution go over them


LARGE = 1 << 24  # bytes of all taps side by side from which a product for each tap is better


def given(inputs: Sequence[Array | None], index: int) -> Array:
    """The input at an index, which must be there."""
    array = inputs[index] if index < len(inputs) else None
    if array is None:
        raise ValueError(f"input {index} is missing")
    return array


def optional(inputs: Sequence[Array | None], index: int) -> Array | None:
    return inputs[index] if index < len(inputs) else None


def convolve(x: Array, w: Array, node: Node, pad_value: float = 0) -> Array:
    """x [N, C, spatial...] * w [OC, C/group, kernel...] -> [N, OC, out...], in the dtype of the operands, no bias."""
    groups = int(node.attr("group"))
    win = Window.of(node, x.shape[2:], w.shape[2:])
    out = win.out(x.shape[2:])
    if x.shape[1] != w.shape[1] * groups:
        raise ValueError(f"{x.shape[1]} channels, weights for {w.shape[1] * groups}")
    x = pad_spatial(x, win.begin, win.end, pad_value)
    if w.shape[1] == 1:  # a group for each channel
        return _depthwise(x, w, win, out)
    n, oc, icg = x.shape[0], w.shape[0], w.shape[1]
    columns_size = icg * int(np.prod(win.kernel)) * int(np.prod(out)) * x.itemsize
    if len(out) == 2 and all(s == 1 for s in win.strides) and win.kernel != (1, 1) and columns_size > LARGE:
        return _by_taps(x, w, win, out, groups)
    y = np.empty((n, oc, *out), x.dtype)
    for g in range(groups):
        view = windows(x[:, g * icg : (g + 1) * icg], win, out)
        rank = len(out)
        taps = view.transpose(0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
        columns = taps.reshape(n, icg * int(np.prod(win.kernel)), int(np.prod(out)))
        wg = w[g * (oc // groups) : (g + 1) * (oc // groups)]
        y[:, g * (oc // groups) : (g + 1) * (oc // groups)] = np.matmul(wg.reshape(wg.shape[0], -1), columns).reshape(
            n, oc // groups, *out
        )
    return y


def _by_taps(x: Array, w: Array, win: Window, out: tuple[int, ...], groups: int) -> Array:
    """Stride 1, large images: one product of matrices for each tap, without a copy of x for each. A tap is the same run
    further on."""
    n, c, h, pitch = x.shape
    oc, icg = w.shape[0] // groups, w.shape[1]
    flat = np.ascontiguousarray(x).reshape(n, groups, icg, h * pitch)
    taps = np.ascontiguousarray(w.reshape(groups, oc, icg, *win.kernel).transpose(3, 4, 0, 1, 2))
    y = np.empty((n, groups, oc, *out), x.dtype)
    rows = max(1, 8 * NEAR // (oc * pitch * x.itemsize))
    for image, g, first in product(range(n), range(groups), range(0, out[0], rows)):
        count = min(rows, out[0] - first)
        length = (count - 1) * pitch + out[1]
        total = np.zeros((oc, count * pitch), x.dtype)
        for row, column in product(*map(range, win.kernel)):
            at = (first + row * win.dilations[0]) * pitch + column * win.dilations[1]
            total[:, :length] += taps[row, column, g] @ flat[image, g, :, at : at + length]
        y[image, g, :, first : first + count] = total.reshape(oc, count, pitch)[..., : out[1]]
    return y.reshape(n, groups * oc, *out)


def _depthwise(x: Array, w: Array, win: Window, out: tuple[int, ...]) -> Array:
    """One tap at a time over whole planes; output channel c reads input channel c // multiplier."""
    multiplier = w.shape[0] // x.shape[1]
    if multiplier > 1:
        x = np.repeat(x, multiplier, 1)
    if len(out) == 2 and all(s == 1 for s in win.strides):
        return _depthwise_in_place(x, w, win, out)
    view = windows(x, win, out)
    y = np.zeros((x.shape[0], w.shape[0], *out), x.dtype)
    for tap in product(*map(range, win.kernel)):
        at: tuple[Any, ...] = tap
        y += view[(..., *at)] * w[(slice(None), 0, *at)].reshape(1, -1, *(1,) * len(out))
    return y


def _depthwise_in_place(x: Array, w: Array, win: Window, out: tuple[int, ...]) -> Array:
    """The same with stride 1: a padded plane is one run of numbers, and a tap the same run further on; row ends are
    left out."""
    (n, c, h, pitch), together = x.shape, max(1, NEAR // (x.shape[2] * x.shape[3] * x.itemsize))
    length = (out[0] - 1) * pitch + out[1]
    flat = np.ascontiguousarray(x).reshape(n, c, h * pitch)
    y = np.empty((n, c, *out), x.dtype)
    total, term = (np.empty((n, together, out[0] * pitch), x.dtype) for _ in range(2))
    for first in range(0, c, together):
        last = min(c, first + together)
        part, scratch = total[:, : last - first], term[:, : last - first, :length]
        part[...] = 0
        for row, column in product(*map(range, win.kernel)):
            at = row * win.dilations[0] * pitch + column * win.dilations[1]
            np.multiply(flat[:, first:last, at : at + length], w[first:last, 0, row, column, None], out=scratch)
            part[:, :, :length] += scratch
        y[:, first:last] = part.reshape(n, last - first, out[0], pitch)[..., : out[1]]
    return y


def add_channel_bias(y: Array, bias: Array | None) -> Array:
    return y if bias is None else y + bias.reshape(1, -1, *(1,) * (y.ndim - 2))


def conv(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [add_channel_bias(convolve(given(inputs, 0), given(inputs, 1), node), optional(inputs, 2))]


def convolve_transposed(x: Array, w: Array, node: Node) -> Array:
    """Transposed convolution: x [N, C, spatial...], w [C, OC/group, kernel...] -> [N, OC, out...] in the dtype of the
    operands."""
    groups, rank = int(node.attr("group")), x.ndim - 2
    kernel = w.shape[2:]
    strides = tuple(node.attr("strides") or (1,) * rank)
    dilations = tuple(node.attr("dilations") or (1,) * rank)
    begin, out = transposed_geometry(node, x.shape[2:], kernel)
    full = tuple(
        (d - 1) * s + (k - 1) * r + 1 for d, s, k, r in zip(x.shape[2:], strides, kernel, dilations, strict=True)
    )
    size = tuple(max(f, b + o) for f, b, o in zip(full, begin, out, strict=True))
    icg, ocg = x.shape[1] // groups, w.shape[1]
    y = np.zeros((x.shape[0], ocg * groups, *size), x.dtype)
    for g in range(groups):
        xs = x[:, g * icg : (g + 1) * icg].reshape(x.shape[0], icg, prod(x.shape[2:]))
        for tap in product(*map(range, kernel)):
            of: tuple[Any, ...] = (slice(g * icg, (g + 1) * icg), slice(None), *tap)
            part = np.matmul(w[of].T, xs).reshape(x.shape[0], ocg, *x.shape[2:])
            where = tuple(
                slice(t * r, t * r + (d - 1) * s + 1, s)
                for t, r, d, s in zip(tap, dilations, x.shape[2:], strides, strict=True)
            )
            y[(slice(None), slice(g * ocg, (g + 1) * ocg), *where)] += part
    return y[(slice(None), slice(None), *(slice(b, b + o) for b, o in zip(begin, out, strict=True)))]


def transposed_geometry(
    node: Node, spatial: tuple[int, ...], kernel: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Padding that is cut at the beginning, and output sizes, of a ConvTranspose."""
    rank = len(spatial)
    strides = tuple(node.attr("strides") or (1,) * rank)
    dilations = tuple(node.attr("dilations") or (1,) * rank)
    extra = tuple(node.attr("output_padding") or (0,) * rank)
    pads = tuple(node.attr("pads") or (0,) * (2 * rank))
    natural = tuple(
        (d - 1) * s + e + (k - 1) * r + 1
        for d, s, e, k, r in zip(spatial, strides, extra, kernel, dilations, strict=True)
    )
    target, auto = node.attr("output_shape"), node.attr("auto_pad")
    if target is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        target = tuple(min(n, d * s) for n, d, s in zip(natural, spatial, strides, strict=True))
    if target is None:
        return pads[:rank], tuple(n - b - e for n, b, e in zip(natural, pads[:rank], pads[rank:], strict=True))
    total = [max(0, n - t) for n, t in zip(natural, target[-rank:], strict=True)]
    begin = tuple(t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in total)
    return begin, tuple(target[-rank:])


def conv_transpose(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [add_channel_bias(convolve_transposed(given(inputs, 0), given(inputs, 1), node), optional(inputs, 2))]


def gemm(node: Node, inputs: list[Array | None]) -> list[Array]:
    a, b = given(inputs, 0), given(inputs, 1)
    a = a.T if node.attr("transA") else a
    b = b.T if node.attr("transB") else b
    y = np.matmul(a, b) * a.dtype.type(node.attr("alpha"))
    c = optional(inputs, 2)
    return [y if c is None else cast(Array, y + c * c.dtype.type(node.attr("beta")))]


def matmul(node: Node, inputs: list[Array | None]) -> list[Array]:
    """MatMul with the optional third input `bias` [N] that simplification folds into it."""
    y = np.matmul(given(inputs, 0), given(inputs, 1))
    bias = optional(inputs, 2)
    return [np.asarray(y) if bias is None else y + bias]


def batch_normalization(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, scale, bias, mean, var = (given(inputs, k) for k in range(5))
    factor = scale / np.sqrt(var + var.dtype.type(node.attr("epsilon")))
    return [add_channel_bias(x * factor.reshape(1, -1, *(1,) * (x.ndim - 2)), bias - mean * factor)]


def instance_normalization(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, scale, bias = (given(inputs, k) for k in range(3))
    axes = tuple(range(2, x.ndim))
    minus_zero_point = x - x.mean(axes, keepdims=True)
    var = np.mean(minus_zero_point * minus_zero_point, axes, keepdims=True)
    shape = (1, -1, *(1,) * len(axes))
    return [
        minus_zero_point / np.sqrt(var + x.dtype.type(node.attr("epsilon"))) * scale.reshape(shape)
        + bias.reshape(shape)
    ]


def layer_normalization(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    axes = tuple(range(normalize_axis_index(int(node.attr("axis")), x.ndim), x.ndim))
    mean = x.mean(axes, keepdims=True)
    minus_zero_point = x - mean
    inverse = 1 / np.sqrt(
        np.mean(minus_zero_point * minus_zero_point, axes, keepdims=True) + x.dtype.type(node.attr("epsilon"))
    )
    y = minus_zero_point * inverse * given(inputs, 1)
    bias = optional(inputs, 2)
    return [y if bias is None else y + bias, mean, inverse]
