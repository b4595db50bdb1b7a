"""Convolutions over three dimensions that stay float: for each tap along the first, a convolution of all slices, which
adds to the sums of those before it."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node
from ..graph.epilogue import is_fused
from ..reference.windows import Window
from .lower_float_product import FLOATS, NO_BOUNDS, chain_boxes, weights_of
from .lower_float_product import conv as plane
from .products import Factors, Fields, Target
from .program import TensorView, dense_strides
from .select import Lowering


def channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of floats [N, C, spatial...] whose channels are adjacent."""
    n, c, *space = shape
    first, *rest, last = dense_strides((n, *space, c), 4)
    return first, last, *rest


def padded(low: Lowering, name: str, win: Window) -> TensorView:
    """A copy of a value [N, C, D, H, W], channels-last, within a border of zeros; with the border."""
    place = low.places[name]
    n, c, *space = place.shape
    shape = (n, c, *(b + d + e for b, d, e in zip(win.begin, space, win.end, strict=True)))
    copy = low.dense(shape, "<f4")._replace(strides=channels_last(shape))
    if shape != place.shape:
        low.emit(
            "fill", {"y": copy._replace(shape=(low.room(copy),), strides=(1,), dtype="|u1")}, {},
            {"C": low.room(copy), "value": 0},
        )  # fmt: skip
    inside = copy
    for k, (begin, size) in enumerate(zip(win.begin, space, strict=True)):
        inside = inside.part(2 + k, begin, size)
    low.move(place, inside)
    return copy


def conv(low: Lowering, node: Node) -> bool:
    """A convolution over any number of dimensions."""
    w = weights_of(low, node)
    return volume(low, node, w) if w is not None and w.ndim == 5 and not is_fused(node) else plane(low, node)


def volume(low: Lowering, node: Node, w: Array) -> bool:
    """w: [OC, IC, KD, KH, KW]."""
    groups, (oc, per, depth, kh, kw) = int(node.attr("group")), w.shape
    win = Window.of(node, low.type(node.inputs[0]).static_shape[2:], w.shape[2:])
    if min(*win.begin, *win.end) < 0 or len(chain_boxes(kh, kw, per)) > 1:
        return low.refuse("its kernel has too many terms a slice, or its padding is negative")
    x, shape = padded(low, node.inputs[0], win), low.type(node.outputs[0]).static_shape
    like = TensorView(0, 0, shape, channels_last(shape), "<f4")
    y = low.place(node.outputs[0], channels_last=False, like=like)
    bias = FLOATS.constants(low, node)[1]
    bias = np.zeros(oc, np.float32) if bias is None else bias.reshape(-1)
    weights = low.derived(_slices, w, groups)
    names = zip(("KH", "KW", "SH", "SW", "DH", "DW"), (kh, kw, *win.strides[1:], *win.dilations[1:]), strict=True)
    fields: Fields = dict(names)
    for image in range(shape[0]):
        to, before = slices(y, image, shape[2], 1), None
        for k in range(depth):
            taps = slices(x, image, shape[2], win.strides[0], k * win.dilations[0])
            part = to if k == depth - 1 else low.image((to.shape[0], oc, to.shape[2], to.shape[3]), "<f4", (0, 0, 0, 0))
            start = bias if k == 0 else np.zeros_like(bias)
            factors = Factors(weights[k], weights[k], start)
            FLOATS.product(low, node, taps, Target(part, NO_BOUNDS, before), factors, fields)
            before = part
    return True


def slices(place: TensorView, image: int, count: int, step: int, first: int = 0) -> TensorView:
    """Slices first, first + step, ... of an image [N, C, D, H, W], as `count` images."""
    part = place.part(0, image, 1).part(2, first, count, step)
    (_, c, d, h, w), (_, sc, sd, sh, sw) = part.shape, part.strides
    return TensorView(part.buffer, part.start, (d, c, h, w), (sd, sc, sh, sw), part.dtype)


def _slices(w: Array, groups: int) -> tuple[Array, ...]:
    """Weights [groups, OC, KH, KW, IC] of each tap of the first dimension."""
    oc, per, depth, kh, kw = w.shape
    apart = w.reshape(groups, oc // groups, per, depth, kh, kw).transpose(3, 0, 1, 4, 5, 2)
    return tuple(np.ascontiguousarray(tap) for tap in apart)
