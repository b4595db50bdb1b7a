"""Convolutions of int8 over three dimensions. The slices that a window reads along the first lie beside each other as
channels of an image, which a convolution over the other two reads."""

from __future__ import annotations

from ..graph import Array, Node
from ..reference.windows import Window
from .layout import NO_HALO, window_fields, window_halo
from .lower_float_volume import channels_last, folded
from .lower_product import INT8, NO_POST, sum_fields
from .lower_product import conv as plane
from .product_constants import of_conv, weights
from .products import Factors, Target
from .program import TensorView
from .select import Lowering
from .table import POST_TABLE


def conv(low: Lowering, fused: Node) -> bool:
    """A convolution over any number of dimensions."""
    return volume(low, fused) if low.type(fused.inputs[0]).rank == 5 else plane(low, fused)


def volume(low: Lowering, fused: Node) -> bool:
    node, *after = low.parts(fused)
    if not INT8.takes(low, node, after):
        return False
    found = weights(low, node, 0)
    win = Window.of(node, low.type(node.inputs[0]).static_shape[2:], low.type(node.inputs[1]).static_shape[2:])
    if found is None or node.attr("group") != 1 or min(*win.begin, *win.end) < 0:
        return low.refuse("it is in groups, or its padding is negative")
    factors: Factors = low.derived(_beside, *found[2:], low.zero(node.inputs[0]))
    n, c, *out = low.type(fused.outputs[0]).static_shape
    across = Window(*(part[1:] for part in win))  # type: ignore[arg-type]
    x = slices(low, node.inputs[0], win, out[0], found.parts)
    x = x._replace(start=x.start - across.begin[0] * x.strides[2] - across.begin[1] * x.strides[3])
    place = output(low, fused.outputs[0])
    strides = channels_last(place.shape, place.itemsize)
    made = place if place.strides == strides else low.dense(place.shape, place.dtype)._replace(strides=strides)
    target = _target(low, made, after, (n * out[0], c, *out[1:]))
    INT8.product(low, node, x, target, factors, window_fields(across))
    if made is not place:  # NOTE: which lies in a concatenation
        low.move(made, place)
    return True


def _beside(w: Array, bias: Array, scale: Array, zero: int) -> Factors:
    """Weights [OC, IC, KD, KH, KW] as [OC, KD IC, KH, KW]."""
    oc, ic, depth, *kernel = w.shape
    return of_conv(w.swapaxes(1, 2).reshape(oc, depth * ic, *kernel), bias, scale, zero, 1)


def slices(low: Lowering, name: str, win: Window, count: int, parts: int) -> TensorView:
    """Bytes [N, C, D, H, W] as images [N count, KD parts C, H, W] with the border that the window reads, both padded
    with the zero point: the slices of each of `count` windows along the first dimension beside each other, each
    `parts` times (lower_weights.py)."""
    place, (n, c, d, *size) = low.places[name], low.type(name).static_shape
    depth, step, far, begin = win.kernel[0], win.strides[0], win.dilations[0], win.begin[0]
    halo = window_halo((size[0], size[1]), Window(*(part[1:] for part in win)))  # type: ignore[arg-type]
    lies = place.strides == channels_last(place.shape, place.itemsize)
    once = depth == parts == 1 and halo == NO_HALO and not begin and not win.end[0]
    if once and lies and (step == 1 or n == 1):
        strides = (step * place.strides[2], place.strides[1], *place.strides[3:])
        return TensorView(place.buffer, place.start, (n * count, c, *size), strides, place.dtype)
    image = low.image((n * count, depth * parts * c, size[0], size[1]), place.dtype, halo)
    if begin or win.end[0] or any(halo):
        flat = TensorView(image.buffer, 0, (low.room(image),), (1,), "|u1")
        low.emit("fill", {"y": flat}, {}, {"C": low.room(image), "value": low.zero(name)})
    at, item, *rest = image.strides
    for k in range(depth):
        offset = k * far - begin
        first, last = max(0, -(offset // step)), min(count, (d - 1 - offset) // step + 1)
        if first >= last:
            continue
        source = place.part(2, first * step + offset, last - first, step)
        strides = (count * at, item, at, *rest)
        for part in range(k * parts, (k + 1) * parts):
            start = image.start + first * at + part * c * item
            low.move(source, TensorView(image.buffer, start, source.shape, strides, image.dtype))
    return image


def output(low: Lowering, name: str) -> TensorView:
    """The place of a value [N, C, D, H, W], channels-last where it is free to be."""
    t = low.type(name)
    shape, dtype = t.static_shape, t.dtype.numpy
    like = TensorView(0, 0, shape, channels_last(shape, dtype.itemsize), dtype.str)
    return low.place(name, channels_last=False, like=like)


def _target(low: Lowering, place: TensorView, after: list[Node], shape: tuple[int, ...]) -> Target:
    """Where a product writes its images, and what an op behind it does on the way there."""
    y, post, residual, table = folded(place, shape), NO_POST, None, None  # type: ignore[arg-type]
    for part in after:
        if part.op == "Lookup":
            table = low.graph.constants[part.inputs[1]]
            post = {**NO_POST, "post": POST_TABLE, "t_c": 256 if table.ndim == 2 else 0}
            continue
        (other,) = (v for v in part.inputs if v in low.places)
        post, residual = sum_fields(low, part), folded(lying(low, other), shape)  # type: ignore[arg-type]
    return Target(y, post, residual, table).as_image()


def lying(low: Lowering, name: str) -> TensorView:
    """A value [N, C, D, H, W] channels-last: its own place, or a copy."""
    place = low.places[name]
    strides = channels_last(place.shape, place.itemsize)
    if place.strides == strides:
        return place
    copy = low.dense(place.shape, place.dtype)._replace(strides=strides)
    low.move(place, copy)
    return copy
