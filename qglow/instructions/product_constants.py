"""What int8 products read of their constants: weights in the form of kernels, biases with zero points folded in, and
multipliers. Pure functions, whose results a session keeps (derived.py)."""

from __future__ import annotations

import numpy as np

from ..graph import Array, DType, Node, Quant, TensorType
from ..record import NamedTuple
from ..reference.arithmetic import multiplier, product_scale, within_int32
from ..reference.integer_product import groups_of
from ..targets import target
from .constant_data import data_of, packed
from .epilogue import MAX_SUM
from .lower_weights import in_parts, less_zero_points, parts_of
from .packing import round_up
from .pairings import Steps, step_order
from .products import Factors, as_image_weights, of_columns, pixels
from .program import ConstantData
from .select import Lowering

MAX_ACCUMULATOR = 2**31 - 1
Quants = tuple[Quant, Quant, Quant | None]


class Weights(NamedTuple):
    """fits: whether no sum can leave int32, nor, where it is rounded, the range in which that is defined once it is
    scaled; else nothing more is known. parts: how many int8 numbers a weight is the sum of (lower_weights.py). w: int8;
    bias: int64 [output channels] or [1]; scale: multipliers, float32, likewise."""

    fits: bool
    parts: int
    w: Array
    bias: Array
    scale: Array


def weights(low: Lowering, node: Node, axis: int) -> Weights | None:
    """Of a product with constant weights, whose output channels are along an axis; None where its sums do not fit."""
    types = [low.type(v) for v in (*node.inputs[:2], node.outputs[0])]
    x, w, y = (t.quant for t in types)
    assert x is not None and w is not None
    bias = low.graph.constants[node.inputs[2]] if node.input(2) else None
    # NOTE: those with zero points are copies, larger than the weights: no session keeps them
    derived = _made if any(w.zero_point) else low.derived
    found: Weights = derived(_weights, low.graph.constants[node.inputs[1]], bias, (x, w, y), axis, groups_of(node))
    if not found.fits:
        low.refuse("a sum of its products could leave int32")
        return None
    return found


def _made(make, *args):  # type: ignore[no-untyped-def]
    return make(*args)


def _weights(w: Array, bias: Array | None, quants: Quants, axis: int, groups: int) -> Weights:
    t_x, t_w, t_y = (TensorType(DType.U8, None, q) for q in quants)
    w = less_zero_points(w, t_w)
    sums = np.zeros(1, np.int64) if bias is None else bias.astype(np.int64).reshape(-1)
    rounded = quants[2] is not None
    found = multiplier(t_x, t_w, t_y, groups) if rounded else product_scale(t_x, t_w, groups)
    scale: Array = np.asarray(found, np.float32).reshape(-1)
    if not _fit(w, np.abs(sums), scale.astype(np.float64) if rounded else None, axis, groups):
        return Weights(False, 0, w, sums, scale)
    parts = parts_of(w)
    return Weights(True, parts, in_parts(w, parts, 1 - axis, groups), sums, scale)


def _fit(w: Array, bias: Array, scale: Array | None, axis: int, groups: int) -> bool:
    factor = np.zeros(1) if scale is None else scale
    most = w.size // w.shape[axis] * 255 * (128 if w.dtype == np.int8 else 255)
    # the usual case
    if most + int(bias.max()) < MAX_ACCUMULATOR and most * factor.max() + (bias * factor).max() < MAX_SUM:
        return True
    others = tuple(k for k in range(w.ndim) if k != axis)
    worst = np.tile(np.abs(w.astype(np.int64)).sum(others), groups) * 255 + bias
    return float((worst * factor).max()) < MAX_SUM and within_int32(worst, scale)


def of_conv(w: Array, bias: Array, scale: Array, zero: int, groups: int) -> Factors:
    """w: [OC, IC of a group, KH, KW] or [OC, IC of a group, KW]."""
    w = as_image_weights(w)
    bias = np.broadcast_to(bias, (len(w),)) - (zero * w.sum((1, 2, 3), dtype=np.int64) if zero else 0)
    return Factors(pixels(w, groups), pixels(w.swapaxes(2, 3), groups), bias, scale)


def of_matrix(w: Array, bias: Array, scale: Array, zero: int, turned: bool) -> Factors:
    """w: [K, N], or turned [N, K]."""
    w = w.T if turned else w
    bias = np.broadcast_to(bias, (w.shape[1],)) - (zero * w.sum(0, dtype=np.int64) if zero else 0)
    columns = of_columns(w)
    return Factors(columns, columns, bias, scale)


def by_channel(bias: Array, scale: Array, groups: int, multiple: int) -> tuple[bytes, bytes]:
    """bias, as int32, and scale of each output channel, filled up per group to a multiple."""
    per = bias.size // groups
    found = []
    for array, dtype in ((bias, np.int32), (np.broadcast_to(scale, bias.shape), np.float32)):
        filled = np.zeros((groups, round_up(per, multiple)), dtype)
        filled[:, :per] = array.reshape(groups, per)
        found.append(filled.tobytes())
    return found[0], found[1]


def of_product(
    isa: str, w: Array, bias: Array, scale: Array, fused: bool, gap: int, steps: Steps | None
) -> dict[str, ConstantData]:
    """The constants of a conv2d by the names of its operands. w, bias, scale: as in `Factors`. fused: see `Packed`.
    gap: bytes behind the channels of a pixel, whose weights are zero. steps: where pairs are added in 16 bits, what
    `order` is made of."""
    p = target(isa)
    if p.offset:
        bias = bias + p.offset * w.sum((2, 3, 4), dtype=np.int64).reshape(-1)
    filled = np.pad(w, [(0, 0)] * 4 + [(0, gap)]) if gap else w
    sums, factors = by_channel(bias, scale, len(w), p.multiple)
    found: dict[str, ConstantData] = {"w": packed(isa, filled, fused), "bias": sums, "scale": factors}
    return found if steps is None else found | {"order": data_of(step_order(steps, filled, fused))}


def of_depthwise(isa: str, w: Array, bias: Array, scale: Array, flat: bool) -> tuple[bytes, bytes, bytes, int]:
    """(weights, biases, multipliers, number of blocks) of a depthwise2d. Blocks of channels: whole vectors, the last
    one moved back to end with the channels; flat: or a row's run of pixels. w: [C, 1, KH, KW, parts]."""
    p = target(isa)
    channels, _, kh, kw, parts = w.shape
    if flat:
        blocks = np.arange(np.lcm(channels, p.lanes)).reshape(-1, p.lanes) % channels
    elif channels < p.lanes:
        blocks = np.arange(p.lanes)[None] % channels
    else:
        starts = [min(k, channels - p.lanes) for k in range(0, channels, p.lanes)]
        blocks = np.array(starts)[:, None] + np.arange(p.lanes)
    rows = round_up(parts * kh, 4)
    taps = np.zeros((channels, rows, kw), np.int8)
    taps[:, : parts * kh] = w[:, 0].transpose(0, 3, 1, 2).reshape(channels, parts * kh, kw)
    if p.offset:
        bias = bias + p.offset * w.sum((1, 2, 3, 4), dtype=np.int64)
    order = taps[blocks].reshape(len(blocks), p.lanes, rows // 4, 4, kw).transpose(0, 2, 4, 1, 3)
    scale = np.broadcast_to(scale, bias.shape)
    return data_of(order), data_of(bias[blocks].astype(np.int32)), data_of(scale[blocks]), len(blocks)
