"""A product as rows by weights: what the weights of an output channel are multiplied by, and the weights in the same
order.

A convolution's rows are its windows, [C / group, kernel...] each; places in the padding hold the zero point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..graph import Array, Node
from ..graph.type_rules import gemm_form
from ..ops.traits import CONVOLUTION
from ..reference.windows import Window, pad_spatial, patches


def rows_of(node: Node, x: Array, weights: tuple[int, ...], zero: int, most: int) -> Array:
    """At most `most` rows [groups, rows, terms] that a product multiplies weights of a shape by, evenly spread. x:
    stored integers; zero: their zero point. Values are float64 integers, x - zero."""
    if not node.has(CONVOLUTION):
        turned = x.T if gemm_form(node).turns_a else x
        flat = turned.reshape(-1, turned.shape[-1])
        return np.asarray(flat[_spread(len(flat), most)].astype(np.float64) - zero)[None]
    groups = int(node.attr("group"))
    taps, out = patches(x, Window.of(node, x.shape[2:], weights[2:]), x.dtype.type(zero))
    rank = len(out)
    taps = np.moveaxis(taps, 1, 1 + rank)  # [N, out..., C, kernel...]
    places = np.unravel_index(_spread(int(np.prod(taps.shape[: 1 + rank])), most), taps.shape[: 1 + rank])
    chosen = taps[places]  # [rows, C, kernel...]
    by_group = chosen.reshape(len(chosen), groups, -1).transpose(1, 0, 2)
    return np.asarray(by_group.astype(np.float64) - zero)


def _spread(count: int, most: int) -> Array:
    return np.arange(count) if count <= most else (np.arange(most) * count) // most


def as_rows(node: Node, w: Array) -> Array:
    """Weights, or what has their shape, as [groups, channels, terms]."""
    if node.has(CONVOLUTION):
        return w.reshape(int(node.attr("group")), -1, int(np.prod(w.shape[1:])))
    return (w if gemm_form(node).turns_b else w.T)[None]


def as_weights(node: Node, rows: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `as_rows`."""
    if node.has(CONVOLUTION):
        return rows.reshape(shape)
    return np.ascontiguousarray(rows[0] if gemm_form(node).turns_b else rows[0].T)


def row_sums(node: Node, x: Array, weights: tuple[int, ...], zero: int) -> tuple[Array, int]:
    """Sums int64 [groups, terms] over the rows that a product multiplies its weights by, of x - zero, and how many rows
    there are."""
    if not node.has(CONVOLUTION):
        turned = x.T if gemm_form(node).turns_a else x
        flat = turned.reshape(-1, turned.shape[-1])
        return (flat.sum(0, dtype=np.int64) - len(flat) * zero)[None], len(flat)
    window, groups = Window.of(node, x.shape[2:], weights[2:]), int(node.attr("group"))
    out = window.out(x.shape[2:])
    padded = pad_spatial(x, window.begin, window.end, zero)
    count = len(x) * int(np.prod(out))
    taps = [padded[(slice(None), slice(None), *place)].sum((0, *range(2, x.ndim)), dtype=np.int64)
            for place in _places(window, out)]  # fmt: skip
    sums = np.stack(taps, 1) - count * zero  # [C, taps]
    return sums.reshape(groups, -1), count


def _places(window: Window, out: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Of each tap of a window, in order, the elements that it meets."""
    for tap in np.ndindex(*window.kernel):
        yield tuple(
            slice(k * d, k * d + (n - 1) * s + 1, s)
            for k, d, n, s in zip(tap, window.dilations, out, window.strides, strict=True)
        )
