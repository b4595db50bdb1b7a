"""The law of float products: each output is one chain of fused multiply-adds that starts from the bias
(docs/quantization.md, 28).

a = bias, or 0; then a = fma(x, w, a) over kernel rows, columns of a row, channels of the group, in this order; what
lies beyond the image is 0 and takes part. A transposed convolution is that of its phases. Kernels that stay in this
order have these bits. Of float64 each product and each sum is rounded. More than LONGEST terms are several chains,
which are added one after the other (41).
"""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from ..graph import Array, Node
from .float_conv import given, optional, transposed_geometry
from .fused import chain
from .phases import phases
from .windows import Window, pad_spatial, windows

LONGEST = 8192  # terms of one chain
TOGETHER = 1 << 14  # sums that are computed at once, so that they stay near


def chain_ranges(rows: int, columns: int, channels: int) -> list[tuple[int, int]]:
    """First term and end of each chain of a product over kernel rows, columns and channels: as many whole rows as have
    LONGEST terms; where one row has more, as many whole columns of it; where one column has more, LONGEST channels of
    it."""
    terms, row = rows * columns * channels, columns * channels
    if row <= LONGEST:
        period, most = terms, LONGEST // max(1, row) * row
    elif channels <= LONGEST:
        period, most = row, LONGEST // channels * channels
    else:
        period, most = channels, LONGEST
    found = [
        (p + k, min(p + k + most, p + period))
        for p in range(0, terms, max(1, period))
        for k in range(0, period, max(1, most))
    ]
    return found or [(0, 0)]


def kernel_ranges(kernel: tuple[int, ...], channels: int) -> list[tuple[int, int]]:
    """The chains of a convolution: of one over three dimensions, those of each tap of the first for itself."""
    if len(kernel) < 3:
        return chain_ranges(prod(kernel[:-1]), prod(kernel[-1:]), channels)
    inner, size = kernel_ranges(kernel[1:], channels), prod(kernel[1:]) * channels
    return [(k * size + first, k * size + end) for k in range(kernel[0]) for first, end in inner] or [(0, 0)]


def sums(x: Array, w: Array, bias: Array, ranges: list[tuple[int, int]]) -> Array:
    """`chains` over each range of the terms, the first from the bias and the others from 0, added one after the
    other."""
    none = np.zeros_like(bias)
    (first, end), *others = ranges
    y = chains(x[first:end], w[first:end], bias)
    for first, end in others:
        y = y + chains(x[first:end], w[first:end], none)
    return y


def chains(x: Array, w: Array, bias: Array) -> Array:
    """x [K, P, G] taps of each output pixel, w [K, G, OC], bias [G, OC] -> [P, G, OC], all of one dtype."""
    (terms, pixels, groups), oc = x.shape, w.shape[2]
    y = np.empty((pixels, groups, oc), x.dtype)
    rows = max(1, TOGETHER // max(1, groups * oc))
    wide = w.astype(np.float64)
    for first in range(0, pixels, rows):
        part = np.ascontiguousarray(x[:, first : first + rows, :, None], np.float64)
        start = np.broadcast_to(bias, (part.shape[1], groups, oc))
        y[first : first + rows] = chain(start, ((part[k], wide[k]) for k in range(terms)))
    return y


def convolve(x: Array, w: Array, bias: Array | None, win: Window, groups: int) -> Array:
    """x [N, C, spatial...], padded; w [OC, C/group, kernel...] -> [N, OC, out...]."""
    (n, c), oc, out = x.shape[:2], w.shape[0], win.out(x.shape[2:])
    per, rank = c // groups, len(out)
    weights = w.reshape(groups, oc // groups, per, *win.kernel)
    weights = weights.transpose(*range(3, 3 + rank), 2, 0, 1).reshape(-1, groups, oc // groups)
    start = np.zeros((groups, oc // groups), x.dtype) if bias is None else bias.reshape(groups, -1)
    ranges = kernel_ranges(win.kernel, per)
    y = np.empty((n, oc, *out), x.dtype)
    if 0 in y.shape:
        return y
    rows = max(1, (1 << 22) // max(1, prod(out[1:]) * c * prod(win.kernel)))
    for image, first in product(range(n), range(0, out[0], rows)):
        taps = windows(x[image : image + 1], win, out)[0][:, first : first + rows]  # [C, rows, out..., kernel...]
        sizes = taps.shape[1 : 1 + rank]
        taps = taps.reshape(groups, per, *taps.shape[1:])
        terms = taps.transpose(*range(2 + rank, 2 + 2 * rank), 1, *range(2, 2 + rank), 0).reshape(
            -1, prod(sizes), groups
        )
        made = sums(terms, weights, start, ranges).reshape(*sizes, oc)
        y[image, :, first : first + rows] = np.moveaxis(made, -1, 0)
    return y


def conv(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, w = given(inputs, 0), given(inputs, 1)
    win = Window.of(node, x.shape[2:], w.shape[2:])
    none = (0,) * len(win.kernel)
    inside = Window(win.kernel, win.strides, win.dilations, none, none)
    return [convolve(pad_spatial(x, win.begin, win.end, 0), w, optional(inputs, 2), inside, int(node.attr("group")))]


def conv_transpose(node: Node, inputs: list[Array | None]) -> list[Array]:
    """The phases' convolutions (reference/phases.py)."""
    x, w, bias = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    groups, rank, per = int(node.attr("group")), x.ndim - 2, w.shape[1]
    strides = tuple(node.attr("strides") or (1,) * rank)
    begin, out = transposed_geometry(node, x.shape[2:], w.shape[2:])
    dilations = tuple(node.attr("dilations") or (1,) * rank)
    y = np.empty((x.shape[0], per * groups, *out), x.dtype)
    one = (1,) * rank
    for axes in product(*(phases(*axis) for axis in zip(strides, w.shape[2:], begin, out, dilations, strict=True))):
        taps = w
        for k, a in enumerate(axes):
            taps = taps.take(a.taps, 2 + k) if a.taps else np.zeros_like(taps.take([0], 2 + k))
        kernel = taps.shape[2:]
        borders = [a.border(d) for a, d in zip(axes, x.shape[2:], strict=True)]
        padded = pad_spatial(x, [b for b, _ in borders], [e for _, e in borders], 0)
        for k, (a, (before, _)) in enumerate(zip(axes, borders, strict=True)):
            padded = padded.take(range(a.first + before, a.first + before + a.outputs + a.reach - 1), 2 + k)
        swapped = taps.reshape(groups, -1, per, *kernel).swapaxes(1, 2).reshape(groups * per, -1, *kernel)
        part = convolve(
            padded, swapped, bias, Window(kernel, one, tuple(a.step for a in axes), (0,) * rank, (0,) * rank), groups
        )
        y[(slice(None), slice(None), *(slice(a.phase, None, s) for a, s in zip(axes, strides, strict=True)))] = part
    return [y]


def product_of(a: Array, b: Array, bias: Array | None) -> Array:
    """numpy's matmul of floats of one dtype, plus a bias that broadcasts to the result."""
    left, right = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    assert left.shape[-1] == right.shape[-2], f"inner sizes {left.shape[-1]} and {right.shape[-2]} differ"
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*batch, *(left.shape[-2:-1] if a.ndim > 1 else ()), *(right.shape[-1:] if b.ndim > 1 else ()))
    rows, columns = left.shape[-2], right.shape[-1]
    left, right = np.broadcast_to(left, (*batch, *left.shape[-2:])), np.broadcast_to(right, (*batch, *right.shape[-2:]))
    initial = np.zeros((), a.dtype) if bias is None else bias
    start = np.broadcast_to(initial, shape).reshape(*batch, rows, columns)
    y = np.empty((*batch, rows, columns), a.dtype)
    together, ranges = max(1, TOGETHER // max(1, columns)), chain_ranges(1, 1, left.shape[-1])
    for index in np.ndindex(*batch):
        terms = np.ascontiguousarray(left[index].T, np.float64)  # [K, rows]
        weights = right[index].astype(np.float64)
        for first in range(0, rows, together):
            part = terms[:, first : first + together, None]
            here = (*index, slice(first, first + together))
            made = chain(start[here], ((part[k], weights[k]) for k in range(*ranges[0])))
            for begin, end in ranges[1:]:
                made = made + chain(np.zeros_like(made), ((part[k], weights[k]) for k in range(begin, end)))
            y[here] = made
    return y.reshape(shape)


def gemm(node: Node, inputs: list[Array | None]) -> list[Array]:
    """alpha and beta are multiplied into the second and the third operand first."""
    a, b, c = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    a, b = a.T if node.attr("transA") else a, b.T if node.attr("transB") else b
    return [product_of(a, scaled(b, node.attr("alpha")), None if c is None else scaled(c, node.attr("beta")))]


def scaled(x: Array, factor: float) -> Array:
    """x times a factor of its dtype; x itself where that is 1."""
    return x if factor == 1 else np.asarray(x * x.dtype.type(factor))


def matmul(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [product_of(given(inputs, 0), given(inputs, 1), optional(inputs, 2))]
