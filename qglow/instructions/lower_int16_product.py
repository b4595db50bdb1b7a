"""Convolutions and matrix products of int16 activations and int8 weights, with exact sums (docs/quantization.md, 49).

A kernel sums in int32. |x| is at most 2^15, so no partial sum leaves int32 where the magnitudes of its weights sum up
to less than 2^16. Where those of a channel are more, sums are put by after every `span` steps of two elements, as two
int32 numbers.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..graph import Array, Node
from ..reference.arithmetic import multiplier, product_scale
from ..reference.integer_product import groups_of
from . import products
from .lower_pointwise import INT16 as OF_INT16
from .lower_pointwise import form_of
from .lower_pointwise import int16_limits as limits
from .lower_product import bias_of
from .lower_weights import weights_of
from .packing import round_up
from .product_constants import by_channel as filled_by_channel
from .products import Factors, Fields, Target, Transposed, image_fields, pieces
from .program import TensorView
from .select import Lowering

MOST_WEIGHT = (1 << 16) - 1  # of the weights of a sum that int32 holds: 2^15 times it is below 2^31
MOST_BIAS = 1 << 31
TOO_LARGE = "its sums have too many parts, or int32 does not hold what its zero point adds to them"
MOST_PARTS = 1 << 14  # partial sums of one output, of which the lower halves are added up in int32


def without_zero_point(low: Lowering, node: Node, w: Array) -> Array:
    """The bias of each output channel less what the input's zero point adds to its sum. w: [output channels, terms]."""
    shift = low.zero(node.inputs[0]) * w.astype(np.int64).sum(1)
    return np.asarray(np.broadcast_to(bias_of(low, node), (len(w),)) - shift)


def scales(low: Lowering, node: Node) -> Array:
    """The multiplier of each output channel, or one."""
    x, w, y = low.type(node.inputs[0]), low.type(node.inputs[1]), low.type(node.outputs[0])
    with np.errstate(all="ignore"):
        found = product_scale(x, w, groups_of(node)) if y.quant is None else multiplier(x, w, y, groups_of(node))
    return np.asarray(found, np.float32).reshape(-1)


def span_of(w: Array, bias: Array) -> int | None:
    """Steps of two elements after which sums are put by, 0 where they never need to be; None where even the parts are
    too many, or where int32 does not hold the bias.

    w: [groups, OC, KH, runs, run]; bias: int64 [groups * OC], less what the zero point adds.
    """
    size = np.abs(w.astype(np.int64))
    if np.abs(bias).max(initial=0) >= MOST_BIAS:
        return None
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


class Int16:
    """int16 activations by int8 weights (`products.Numbers`)."""

    def takes(self, low: Lowering, node: Node, after: list[Node]) -> bool:
        w = low.graph.constants[node.inputs[1]]
        return not after and form_of(low, node, node.inputs[0]) == OF_INT16 and 0 not in w.shape

    def of_conv(self, low: Lowering, node: Node) -> Factors | None:
        w, groups = products.as_image_weights(weights_of(low, node)), int(node.attr("group"))
        factors = products.pixels(w, groups), products.pixels(w.swapaxes(2, 3), groups)
        return self.fitting(low, node, *factors, without_zero_point(low, node, w.reshape(len(w), -1)))

    def of_rows(self, low: Lowering, node: Node) -> Factors | None:
        w = weights_of(low, node)
        if w.ndim != 2:
            return None
        columns = products.of_columns(w.T if node.op == "Gemm" and node.attr("transB") else w)
        return self.fitting(low, node, columns, columns, without_zero_point(low, node, columns[0, :, 0, 0]))

    def of_transposed(self, low: Lowering, node: Node) -> Transposed | None:
        w = products.as_image_weights(weights_of(low, node))
        bias = np.broadcast_to(bias_of(low, node), (w.shape[1] * int(node.attr("group")),))
        # NOTE: a phase has a part of these weights
        all_taps = w.transpose(1, 2, 3, 0)[None]
        zero = low.zero(node.inputs[0])
        shift = np.abs(w.astype(np.int64)).sum((0, 2, 3)).max(initial=0) * abs(zero)
        found = self.fitting(low, node, all_taps, all_taps, np.abs(bias).max(initial=0) + shift)
        return None if found is None else Transposed(w, bias, found.scale, zero=zero)

    def fitting(self, low: Lowering, node: Node, w: Array, turned: Array, bias: Array) -> Factors | None:
        """Factors of a product whose sums have not too many parts."""
        if span_of(_as_rows(w), bias) is None:
            low.refuse(TOO_LARGE)
            return None
        return Factors(w, turned, bias, scales(low, node))

    def target(self, low: Lowering, name: str, after: list[Node], image: bool) -> Target:
        return Target(low.place(name, channels_last=True if image else None), {})

    def depthwise(
        self, low: Lowering, node: Node, x: TensorView, target: Target, factors: Factors, shape: Fields
    ) -> bool:
        w, lanes = factors.w[:, 0, :, :, 0], low.packing.lanes
        if span_of(_as_rows(factors.w), factors.bias) != 0:
            return False
        filled = np.zeros((round_up(len(w), lanes), *w.shape[1:]), np.int16)
        filled[: len(w)] = w
        packed = low.constant(filled.reshape(-1, lanes, *w.shape[1:]).transpose(0, 2, 3, 1))
        constants = {"w": packed, **by_channel(low, factors, 1)}
        fields = {**image_fields(x, target.y), **shape, **limits(low, node)}
        low.emit("int16_depthwise2d", {"x": x, "y": target.y}, constants, fields)
        return True

    def product(
        self, low: Lowering, node: Node, x: TensorView, target: Target, factors: Factors, shape: Fields
    ) -> bool:
        w = factors.w
        made = pieces(x, target, w.shape, shape, 2 * w.shape[4])
        w = _as_rows(w) if made.fused else w
        span = span_of(w, factors.bias)
        if span is None:
            return low.refuse(TOO_LARGE)
        constants = {"w": low.int16_weights(w), **by_channel(low, factors, len(w))}
        fields = {**made.fields, "span": span, **limits(low, node)}
        low.emit("int16_conv2d", {"x": made.x, "y": made.target.y, "scratch": None}, constants, fields)
        return True


def _as_rows(w: Array) -> Array:
    """[groups, OC, KH, KW, IC] with the taps of a kernel row as one run."""
    return w.reshape(*w.shape[:3], 1, -1)


def by_channel(low: Lowering, factors: Factors, groups: int) -> dict[str, int]:
    """bias and scale of each output channel, filled up per group to whole vectors."""
    data = filled_by_channel(factors.bias, factors.scale, groups, low.packing.lanes)
    return {name: low.keep(part) for name, part in zip(("bias", "scale"), data, strict=True)}


INT16 = Int16()
conv, conv_transpose = partial(products.conv, INT16), partial(products.conv_transpose, INT16)
matmul = partial(products.matmul, INT16)
