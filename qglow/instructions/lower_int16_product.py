"""Convolutions and matrix products of int16 activations and int8 weights, with exact sums (docs/quantization.md, 49).

A kernel sums in int32. |x| is at most 2^15, so no partial sum leaves int32 where the magnitudes of its weights sum up
to less than 2^16. Where those of a channel are more, sums are put by after every `span` steps of two elements, as two
int32 numbers.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node
from ..reference.arithmetic import multiplier, product_scale
from ..reference.integer_product import groups_of
from .layout import conv_halo, conv_window, window_fields
from .lower_int16 import limits, takes_int16
from .lower_product import Fields, bias_of, flattened, image_fields, is_column, row_images, swap_hw
from .lower_weights import weights_of
from .packing import round_up
from .phases import phase_products
from .program import TensorView
from .select import Lowering

UNIT: Fields = dict.fromkeys(("KH", "KW", "SH", "SW", "DH", "DW"), 1)
MOST_WEIGHT = (1 << 16) - 1  # of the weights of a sum that int32 holds: 2^15 times it is below 2^31
MOST_BIAS = 1 << 31
MOST_PARTS = 1 << 14  # partial sums of one output, of which the lower halves are added up in int32


def scales(low: Lowering, node: Node) -> Array:
    """The multiplier of each output channel, or one."""
    x, w, y = low.type(node.inputs[0]), low.type(node.inputs[1]), low.type(node.outputs[0])
    with np.errstate(all="ignore"):
        found = product_scale(x, w, groups_of(node)) if y.quant is None else multiplier(x, w, y, groups_of(node))
    return np.asarray(found, np.float32).reshape(-1)


def span_of(w: Array, bias: Array) -> int | None:
    """Steps of two elements after which sums are put by, 0 where they never need to be; None where even the parts are
    too many.

    w: [groups, OC, KH, runs, run]; bias: int64 [groups * OC].
    """
    size = np.abs(w.astype(np.int64))
    if (size.sum((2, 3, 4)).reshape(-1) * 2**15 + np.abs(bias)).max(initial=0) < MOST_BIAS:
        return 0
    rows, run = w.shape[2] * w.shape[3], w.shape[4]
    span = round_up(run, 2) // 2
    while span > 1 and _part_sums(size, 2 * span).max(initial=0) > MOST_WEIGHT:
        span = -(-span // 2)
    return span if rows * -(-run // (2 * span)) <= MOST_PARTS else None


def _part_sums(size: Array, count: int) -> Array:
    """Sums of the magnitudes of each `count` weights of a run."""
    return np.add.reduceat(size, np.arange(0, size.shape[4], count), 4)


def known(low: Lowering, node: Node, rank: tuple[int, ...]) -> Array | None:
    """The weights of a product that kernels can do, less their zero points; None of any other. rank: what they may
    have."""
    c = low.graph.constants
    if not takes_int16(low, node, node.inputs[0]) or c[node.inputs[1]].ndim not in rank or 0 in c[node.inputs[1]].shape:
        return None
    return weights_of(low, node)


def conv(low: Lowering, node: Node) -> bool:
    w = known(low, node, (3, 4))
    if w is None:
        return False
    w = w[:, :, None] if w.ndim == 3 else w
    groups, (oc, icg, kh, kw) = int(node.attr("group")), w.shape
    _, win = conv_window(low.graph, node)
    bias = np.broadcast_to(bias_of(low, node), (oc,))
    depthwise = groups == low.type(node.inputs[0]).static_shape[1] == oc and icg == 1
    span = span_of(w.reshape(groups, oc // groups, kh, 1, -1), bias)
    if span is None:
        return low.refuse("its sums have too many parts")
    x = low.image_of(node.inputs[0], conv_halo(low.graph, node))
    y = low.place(node.outputs[0], channels_last=True).as_image()
    x = x._replace(start=x.start - win.begin[0] * x.strides[2] - win.begin[1] * x.strides[3])
    shape = window_fields(win)
    if is_column(y, kw):
        x, y, w, shape, (kh, kw) = x.swap_hw(), y.swap_hw(), w.swapaxes(2, 3), swap_hw(shape), (kw, kh)
    if depthwise and span == 0:
        emit_depthwise(low, node, x, y, w, bias, shape)
        return True
    return product(low, node, x, y, w.reshape(groups, oc // groups, icg, kh, kw).transpose(0, 1, 3, 4, 2), bias, shape)


def emit_depthwise(
    low: Lowering, node: Node, x: TensorView, y: TensorView, w: Array, bias: Array, shape: Fields
) -> None:
    """w: [C, 1, KH, KW]."""
    channels, lanes = len(w), low.packing.lanes
    filled = np.zeros((round_up(channels, lanes), *w.shape[2:]), np.int16)
    filled[:channels] = w[:, 0]
    constants = {
        "w": low.constant(filled.reshape(-1, lanes, *w.shape[2:]).transpose(0, 2, 3, 1)),
        **by_channel(low, node, bias, 1),
    }
    low.emit("int16_depthwise2d", {"x": x, "y": y}, constants, {**image_fields(x, y), **shape, **limits(low, node)})


def by_channel(low: Lowering, node: Node, bias: Array, groups: int) -> dict[str, int]:
    """bias and scale of each output channel, filled up per group to whole vectors."""
    found = {}
    for name, array, dtype in (
        ("bias", bias, np.int32),
        ("scale", np.broadcast_to(scales(low, node), bias.shape), np.float32),
    ):
        per = bias.size // groups
        filled = np.zeros((groups, round_up(per, low.packing.lanes)), dtype)
        filled[:, :per] = array.reshape(groups, per)
        found[name] = low.constant(filled)
    return found


def product(low: Lowering, node: Node, x: TensorView, y: TensorView, w: Array, bias: Array, shape: Fields) -> bool:
    """An int16_conv2d instruction; False where sums have too many parts. x, y: images. w: [groups, OC, KH, KW, IC];
    bias: [groups * OC]."""
    groups, oc, kh, kw, ic = w.shape
    fused = kw == 1 or (x.strides[3] == 2 * ic and shape["DW"] == 1)
    w = w.reshape(groups, oc, kh, 1, kw * ic) if fused else w
    span = span_of(w, bias)
    if span is None:
        return low.refuse("its sums have too many parts")
    if all(shape[k] == 1 for k in ("KH", "KW", "SH", "SW")):
        x, y, _ = flattened(x, y, None)
    constants = {"w": low.int16_weights(w), **by_channel(low, node, bias, groups)}
    sizes = {**image_fields(x, y), "C": oc, "G": groups, "x_c": 2 * ic, "y_g": oc * y.itemsize, **shape}
    fields = {**sizes, "runs": w.shape[3], "run": w.shape[4], "span": span, **limits(low, node)}
    low.emit("int16_conv2d", {"x": x, "y": y, "scratch": None}, constants, fields)
    return True


def conv_transpose(low: Lowering, node: Node) -> bool:
    w = known(low, node, (3, 4))
    if w is None:
        return False
    w = w[:, :, None] if w.ndim == 3 else w
    bias = np.broadcast_to(bias_of(low, node), (w.shape[1] * int(node.attr("group")),))
    # NOTE: a phase has a part of these weights
    if span_of(w.transpose(1, 2, 3, 0)[None], np.abs(bias).max(initial=0)) is None:
        return low.refuse("its sums have too many parts")
    x = low.image_of(node.inputs[0], conv_halo(low.graph, node))
    y = low.place(node.outputs[0], channels_last=True).as_image()
    for corner, part, kernel in phase_products(low.graph, node, x, y, w):
        product(low, node, corner, part, kernel, bias, {**UNIT, "KH": kernel.shape[2], "KW": kernel.shape[3]})
    return True


def matmul(low: Lowering, node: Node) -> bool:
    w = known(low, node, (2,))
    if w is None or low.type(node.inputs[0]).rank in (None, 0, 1):
        return False
    w = w.T if node.op == "Gemm" and node.attr("transB") else w
    bias = np.broadcast_to(bias_of(low, node), (w.shape[1],))
    if span_of(w.T[None, :, None, None], bias) is None:
        return low.refuse("its sums have too many parts")
    x = low.places[node.inputs[0]]
    x = x if x.has_rows else low.dense_of(node.inputs[0])
    with row_images(low, low.place(node.outputs[0]), x, None) as (y, image_x, _):
        product(low, node, image_x, y.as_image(), w.T[None, :, None, None, :], bias, UNIT)
    return True
