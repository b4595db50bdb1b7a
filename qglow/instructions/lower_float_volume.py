"""Convolutions and pools over three dimensions that stay float: for each tap along the first, a convolution of all
slices, which adds to the sums of those before it, of a transposed one in each phase; pools over slices, then along the
first dimension."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from ..graph import Array, DType, Node
from ..graph.epilogue import is_fused
from ..reference.float_conv import transposed_geometry
from ..reference.float_pool import tap_counts
from ..reference.float_product import LONGEST
from ..reference.phases import phases
from ..reference.windows import Window
from . import lower_float_window as planes
from .layout import NO_HALO
from .lower_float import operand
from .lower_float_product import FLOATS, NO_BOUNDS, chain_boxes, weights_of
from .lower_float_product import conv as plane
from .lower_float_product import conv_transpose as plane_transpose
from .lower_window import full_window
from .products import Factors, Fields, Target
from .program import TensorView, dense_strides
from .select import Lowering
from .table import FLOAT_BINARY

POINT = (1, 1, 1, 0, 0)  # a window along an axis that takes each element for itself


def channels_last(shape: tuple[int, ...], item: int = 4) -> tuple[int, ...]:
    """Strides of a value [N, C, spatial...] whose channels are adjacent. item: bytes of an element."""
    n, c, *space = shape
    first, *rest, last = dense_strides((n, *space, c), item)
    return first, last, *rest


def padded(low: Lowering, name: str, win: Window) -> TensorView:
    """A value [N, C, D, H, W], channels-last, within a border of zeros, with the border: a copy, or its own place."""
    place = low.places[name]
    n, c, *space = place.shape
    shape = (n, c, *(b + d + e for b, d, e in zip(win.begin, space, win.end, strict=True)))
    if shape == place.shape and place.strides == channels_last(shape):
        return place
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
    groups, (_, per, depth, kh, kw) = int(node.attr("group")), w.shape
    win = Window.of(node, low.type(node.inputs[0]).static_shape[2:], w.shape[2:])
    if min(*win.begin, *win.end) < 0 or len(chain_boxes(kh, kw, per)) > 1:
        return low.refuse("its kernel has too many terms a slice, or its padding is negative")
    x, y = padded(low, node.inputs[0], win), output(low, node)
    pairs = zip(("SH", "SW", "DH", "DW"), (*win.strides[1:], *win.dilations[1:]), strict=True)
    steps: Fields = dict(pairs)
    weights, count = low.derived(_slices, w, groups), y.shape[2]
    for image in range(y.shape[0]):
        taps = [slices(x, image, count, win.strides[0], k * win.dilations[0]) for k in range(depth)]
        summed(low, node, taps, slices(y, image, count, 1), weights, steps)
    return True


def output(low: Lowering, node: Node) -> TensorView:
    """The place of a node's output [N, C, D, H, W], channels-last where it is free to be."""
    shape = low.type(node.outputs[0]).static_shape
    like = TensorView(0, 0, shape, channels_last(shape), "<f4")
    return low.place(node.outputs[0], channels_last=False, like=like)


def summed(
    low: Lowering, node: Node, taps: list[TensorView], y: TensorView, weights: tuple[Array, ...], steps: Fields
) -> None:
    """y: the sum of the convolutions of taps, images [D, C, H, W] each, one after the other, the first from the bias.
    weights: [groups, OC, KH, KW, IC] of each tap. steps: of the window."""
    bias = FLOATS.constants(low, node)[1]
    start = np.zeros(y.shape[1], np.float32) if bias is None else bias.reshape(-1)
    before: TensorView | None = None
    for k, (x, w) in enumerate(zip(taps, weights, strict=True)):
        n, c, h, width = y.shape
        part = y if k == len(taps) - 1 else low.image((n, c, h, width), "<f4", NO_HALO)
        shape: Fields = {**steps, "KH": w.shape[2], "KW": w.shape[3]}
        FLOATS.product(low, node, x, Target(part, NO_BOUNDS, before), Factors(w, w, start), shape)
        before, start = part, np.zeros_like(start)


def conv_transpose(low: Lowering, node: Node) -> bool:
    """A transposed convolution over any number of dimensions."""
    w = weights_of(low, node)
    volume = w is not None and w.ndim == 5 and not is_fused(node)
    return transposed_volume(low, node, w) if w is not None and volume else plane_transpose(low, node)


def transposed_volume(low: Lowering, node: Node, w: Array) -> bool:
    """The products of its phases (reference/phases.py). w: [IC, OC of a group, KD, KH, KW]."""
    groups, size = int(node.attr("group")), low.type(node.inputs[0]).static_shape[2:]
    begin, out = transposed_geometry(node, size, w.shape[2:])
    strides, dilations = (tuple(node.attr(name) or (1, 1, 1)) for name in ("strides", "dilations"))
    axes = [phases(*axis) for axis in zip(strides, w.shape[2:], begin, out, dilations, strict=True)]
    if any(prod(max(1, len(p.taps)) for p in at[1:]) * w.shape[0] // groups > LONGEST for at in product(*axes)):
        return low.refuse("its kernel has too many terms a slice")
    borders = [[p.border(d) for p in axis] for axis, d in zip(axes, size, strict=True)]
    first, last = (tuple(max(b[k] for b in axis) for axis in borders) for k in range(2))
    x, y = padded(low, node.inputs[0], Window(w.shape[2:], strides, dilations, first, last)), output(low, node)
    for at in product(*axes):
        a, b, c = at
        weights = low.derived(_of_phase, w, groups, tuple(p.taps for p in at))
        corner = x.part(3, first[1] + b.first, x.shape[3]).part(4, first[2] + c.first, x.shape[4])
        to = y.part(3, b.phase, b.outputs, strides[1]).part(4, c.phase, c.outputs, strides[2])
        for image in range(y.shape[0]):
            starts = [first[0] + a.first + k * a.step for k in range(len(weights))]
            taps = [slices(corner, image, a.outputs, 1, k) for k in starts]
            steps: Fields = {"SH": 1, "SW": 1, "DH": b.step, "DW": c.step}
            summed(low, node, taps, slices(to, image, a.outputs, strides[0], a.phase), weights, steps)
    return True


def _of_phase(w: Array, groups: int, taps: tuple[tuple[int, ...], ...]) -> tuple[Array, ...]:
    """Weights [groups, OC of a group, KH, KW, IC of one] of each tap of the first dimension that a phase reads; one of
    zeros along an axis of which it reads none."""
    for axis, at in enumerate(taps):
        w = w.take(at, 2 + axis) if at else np.zeros_like(w.take([0], 2 + axis))
    channels, per, depth, kh, kw = w.shape
    apart = w.reshape(groups, channels // groups, per, depth, kh, kw).transpose(3, 0, 2, 4, 5, 1)
    return tuple(np.ascontiguousarray(tap) for tap in apart)


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
    none = (0,) * (len(low.places[name].shape) - 2)
    return padded(low, name, Window(none, none, none, none, none))


def volume_pool(low: Lowering, node: Node) -> bool:
    """Maxima or sums of windows of slices, then of these along the first dimension; sums are divided in the end. Of
    windows in slices alone, or along the first dimension alone, one instruction."""
    include, largest = bool(node.attributes.get("count_include_pad")), node.op == "MaxPool"
    if not is_volume(low, node) or (include and node.attr("ceil_mode")):
        return False
    (n, c, d, h, w), out = low.type(node.inputs[0]).static_shape, low.type(node.outputs[0]).static_shape
    win = Window.of(node, (d, h, w), node.attr("kernel_shape"))
    counts = tap_counts(win, (d, h, w), out[2:], include)
    if largest and not counts.all():
        return low.refuse("a window of it lies in the padding alone")
    x, y = lying(low, node.inputs[0]), output(low, node)
    made = y if y.strides == channels_last(out) else low.dense(out, "<f4")._replace(strides=channels_last(out))
    across, along = (Window(*(part[k] for part in win)) for k in (slice(1, None), slice(1)))
    is_flat, is_upright = (all(v == POINT for v in zip(*part, strict=True)) for part in (along, across))
    once = "Max" if largest else "Mean" if is_flat or is_upright else "Sum"
    small, shape = x, (n * d, c, out[3], out[4])
    if is_flat or not is_upright:
        small = folded(made, shape) if is_flat else low.image(shape, "<f4", NO_HALO)
        planes.window(low, once, folded(x, (n * d, c, h, w)), small, across, include)
    if not is_flat:
        row = out[3] * out[4] * c  # NOTE: what lies beside each other is reduced alike, as channels are
        upright = Window(*((*part, fill) for part, fill in zip(along, POINT, strict=True)))
        planes.window(low, once, folded(small, (n, row, d, 1)), folded(made, (n, row, out[2], 1)), upright, include)
    if once == "Sum":
        divided(low, made, np.broadcast_to(np.maximum(counts, 1), (1, 1, *out[2:]))[0, 0].astype(np.float32))
    if made is not y:
        low.move(made, y)
    return True


def folded(x: TensorView, shape: tuple[int, int, int, int]) -> TensorView:
    """What lies channels-last without gaps as an image of another shape."""
    return TensorView(x.buffer, x.start, shape, channels_last(shape, x.itemsize), x.dtype)


def divided(low: Lowering, y: TensorView, counts: Array) -> None:
    """Each pixel of y [N, C, D, H, W], channels-last, by its count [D, H, W], in place."""
    (n, c, d, *_), places, op = y.shape, counts[0].size, FLOAT_BINARY.index("Div")
    row, is_one = 4 * c * places, bool(counts.min() == counts.max())
    if is_one:
        counts = counts[:1, :1, :1]
    # one run over each slice where its elements are divided alike, or each by the count beside it
    is_run = is_one or c == 1
    w, run, b_h = (1, c * places, 0 if is_one else row) if is_run else (places, c, 4 * places)
    fields: Fields = {"N": n, "H": d, "W": w, "C": run, "a_c": 1, "b_c": int(is_run and not is_one), "op": op}
    steps = {f"{v}_{k}": s for v in "ay" for k, s in (("n", d * row), ("h", row), ("w", 4 * run))}
    b = {"b_n": 0, "b_h": b_h, "b_w": 4}
    low.emit("float_binary", {"a": y, "y": y}, {"b": low.constant(counts)}, {**fields, **steps, **b})
