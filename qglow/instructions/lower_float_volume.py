"""Convolutions and pools over three dimensions that stay float: for each tap along the first, a convolution of all
slices, which adds to the sums of those before it; pools over slices, then along the first dimension."""

from __future__ import annotations

import numpy as np

from ..graph import Array, DType, Node
from ..graph.epilogue import is_fused
from ..reference.float_pool import tap_counts
from ..reference.windows import Window
from . import lower_float_window as planes
from .layout import NO_HALO
from .lower_float import operand
from .lower_float_product import FLOATS, NO_BOUNDS, chain_boxes, weights_of
from .lower_float_product import conv as plane
from .lower_window import full_window
from .products import Factors, Fields, Target
from .program import TensorView, dense_strides
from .select import Lowering
from .table import FLOAT_BINARY


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


def pool(low: Lowering, node: Node) -> bool:
    """A pool over any number of dimensions."""
    return volume_pool(low, node) if low.type(node.inputs[0]).rank == 5 else planes.pool(low, node)


def global_pool(low: Lowering, node: Node) -> bool:
    """The same over all of an image; of three dimensions the first two are one."""
    shape = low.type(node.inputs[0]).static_shape
    if len(shape) != 5 or not is_volume(low, node):
        return planes.global_pool(low, node)
    x, y = lying(low, node.inputs[0]), low.place(node.outputs[0], channels_last=False)
    (n, c, d, h, w), (to, at, *_) = shape, y.strides
    image = TensorView(x.buffer, x.start, (n, c, d * h, w), (*x.strides[:2], *x.strides[3:]), x.dtype)
    made = y if at == 4 or c == 1 else low.dense((n, c, 1, 1, 1), "<f4")
    to = made.strides[0]
    mean = "Mean" if node.op == "GlobalAveragePool" else "Max"
    pixels = TensorView(made.buffer, made.start, (n, c, 1, 1), (to, 4, to, to), made.dtype)
    planes.window(low, mean, image, pixels, full_window((d * h, w)))
    if made is not y:
        low.move(made, y)
    return True


def is_volume(low: Lowering, node: Node) -> bool:
    """Whether a pool makes floats of floats alone."""
    floats = all(low.type(v).dtype is DType.F32 for v in (node.inputs[0], node.outputs[0]))
    return floats and not any(node.outputs[1:]) and operand(low, node.inputs[0]) is not None


def lying(low: Lowering, name: str) -> TensorView:
    """A value [N, C, D, H, W] channels-last, without a border: its own place, or a copy."""
    place = low.places[name]
    none = (0,) * (len(place.shape) - 2)
    win = Window(none, none, none, none, none)
    return place if place.strides == channels_last(place.shape) else padded(low, name, win)


def volume_pool(low: Lowering, node: Node) -> bool:
    """Maxima or sums of windows of slices, then of these along the first dimension; sums are divided in the end."""
    include, largest = bool(node.attributes.get("count_include_pad")), node.op == "MaxPool"
    if not is_volume(low, node) or (include and node.attr("ceil_mode")):
        return False
    (n, c, d, h, w), out = low.type(node.inputs[0]).static_shape, low.type(node.outputs[0]).static_shape
    win = Window.of(node, (d, h, w), node.attr("kernel_shape"))
    counts = tap_counts(win, (d, h, w), out[2:], include)
    if largest and not counts.all():
        return low.refuse("a window of it lies in the padding alone")
    name, x = "Max" if largest else "Sum", lying(low, node.inputs[0])
    across, along = (Window(*(part[k] for part in win)) for k in (slice(1, None), slice(1)))
    small = low.image((n * d, c, out[3], out[4]), "<f4", NO_HALO)
    planes.window(low, name, folded(x, (n * d, c, h, w)), small, across)
    y = low.place(node.outputs[0], channels_last=False, like=TensorView(0, 0, out, channels_last(out), "<f4"))
    made = y if y.strides == channels_last(out) else low.dense(out, "<f4")._replace(strides=channels_last(out))
    columns, pixels = out[3] * out[4], (n, c, out[2], out[3] * out[4])
    upright = Window(*((*part, fill) for part, fill in zip(along, (1, 1, 1, 0, 0), strict=True)))
    planes.window(low, name, folded(small, (n, c, d, columns)), folded(made, pixels), upright)
    if not largest:
        divided(low, made, np.broadcast_to(np.maximum(counts, 1), (1, 1, *out[2:]))[0, 0].astype(np.float32))
    if made is not y:
        low.move(made, y)
    return True


def folded(x: TensorView, shape: tuple[int, int, int, int]) -> TensorView:
    """Channels-last floats without gaps as an image of another shape."""
    return TensorView(x.buffer, x.start, shape, channels_last(shape), x.dtype)


def divided(low: Lowering, y: TensorView, counts: Array) -> None:
    """Each pixel of y [N, C, D, H, W], channels-last, by its count [D, H, W], in place."""
    (n, c, d, *_), places = y.shape, counts[0].size
    row, op = 4 * c * places, FLOAT_BINARY.index("Div")
    fields: Fields = {"N": n, "H": d, "W": places, "C": c, "a_c": 1, "b_c": 0, "op": op}
    steps = {f"{v}_{k}": s for v in "ay" for k, s in (("n", d * row), ("h", row), ("w", 4 * c))}
    b = {"b_n": 0, "b_h": 4 * places, "b_w": 4}
    low.emit("float_binary", {"a": y, "y": y}, {"b": low.constant(counts)}, {**fields, **steps, **b})
