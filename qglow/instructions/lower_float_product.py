"""Products that stay float: convolutions, transposed ones and matrix products, with a sum and bounds behind them folded
in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..graph import Array, DType, Node
from ..graph.type_rules import gemm_form
from ..reference.float_product import LONGEST, chain_ranges, scaled
from .epilogue import bounds_of, float_takes
from .layout import NO_HALO, conv_halo, conv_window, window_fields
from .lower_float import operand
from .lower_product import (
    UNIT,
    Fields,
    flattened,
    image_fields,
    is_column,
    operands_of_two,
    residual_of,
    row_images,
    shifted,
    swap_hw,
)
from .matrix_batches import Group
from .packing import round_up
from .phases import phase_products
from .program import TensorView
from .select import Lowering
from .table import POST_ADD, POST_NONE


class FloatTarget(NamedTuple):
    """Where a product's result goes; bounds: fields of what limits it; residual: what is added before."""

    y: TensorView
    bounds: Fields
    residual: TensorView | None = None


NO_BOUNDS: Fields = {"act": 0, "f_low": 0.0, "f_high": 0.0}


def takes_epilogue(low: Lowering, node: Node, after: list[Node]) -> bool:
    """Whether the kernels compute what follows a product; only with constant weights."""
    constants = low.graph.constants
    if not after or (node.inputs[1] in constants and float_takes(node, after, low.types, constants)):
        return True
    return low.refuse("no kernel has its epilogue")


def target_of(low: Lowering, name: str, after: list[Node], image: bool = True) -> FloatTarget:
    """The place of a value that a product with an epilogue writes: with a sum and bounds, one of them, or none."""
    y, bounds, residual = low.place(name, channels_last=True if image else None), NO_BOUNDS, None
    for part in after:
        if part.op == "Add":
            residual = residual_of(low, part, image)
            continue
        least, most = bounds_of(part, low.graph.constants) or (0.0, 0.0)
        bounds = {"act": 1 if most is None else 2, "f_low": least, "f_high": most or 0.0}
    return FloatTarget(y, bounds, residual)


def weights_of(low: Lowering, node: Node) -> Array | None:
    """Constant float32 weights of a product whose other operands are floats with a place."""
    names = [i for i in (*node.inputs[:1], *node.outputs) if i]
    w = low.graph.constants.get(node.inputs[1])
    if w is None or w.dtype != np.float32 or any(low.type(v).dtype is not DType.F32 for v in names) or w.size == 0:
        return None
    if node.inputs[0] not in low.places or 0 in low.type(node.outputs[0]).static_shape:
        return None
    if node.input(2) and node.inputs[2] not in low.graph.constants:
        return None
    return w


def bias_of(low: Lowering, node: Node, channels: int) -> Array:
    if not node.input(2):
        return np.zeros(channels, np.float32)
    return np.broadcast_to(low.graph.constants[node.inputs[2]].reshape(-1).astype(np.float32), (channels,))


def conv(low: Lowering, fused: Node) -> bool:
    node, *after = low.parts(fused)
    w = weights_of(low, node)
    if not takes_epilogue(low, node, after) or w is None or w.ndim not in (3, 4):
        return False
    w = w[:, :, None] if w.ndim == 3 else w
    groups, (oc, icg, kh, kw) = int(node.attr("group")), w.shape
    _, win = conv_window(low.graph, node)
    x = low.image_of(node.inputs[0], conv_halo(low.graph, node))
    depthwise = groups == x.shape[1] == oc and icg == 1
    depthwise = depthwise and kh * kw <= LONGEST
    target = target_of(low, fused.outputs[0], after)
    x = x._replace(start=x.start - win.begin[0] * x.strides[2] - win.begin[1] * x.strides[3])
    shape = window_fields(win)
    if is_column(target.y.as_image(), kw):
        residual = None if target.residual is None else target.residual.as_image().swap_hw()
        target = target._replace(y=target.y.as_image().swap_hw(), residual=residual)
        x, w, shape, (kh, kw) = x.swap_hw(), w.swapaxes(2, 3), swap_hw(shape), (kw, kh)
    bias = bias_of(low, node, oc)
    if depthwise:
        emit_depthwise(low, x, target, w, bias, shape)
        return True
    product(low, x, target, w.reshape(groups, oc // groups, icg, kh, kw).transpose(0, 1, 3, 4, 2), bias, shape)
    return True


def emit_depthwise(low: Lowering, x: TensorView, target: FloatTarget, w: Array, bias: Array, shape: Fields) -> None:
    """w: [C, 1, KH, KW]."""
    channels, lanes = w.shape[0], low.packing.lanes
    filled = np.zeros((round_up(channels, lanes), w.shape[2] * w.shape[3]), np.float32)
    filled[:channels] = w.reshape(channels, -1)
    start = np.zeros(len(filled), np.float32)
    start[:channels] = bias
    constants = {
        "w": low.constant(filled.reshape(-1, lanes, filled.shape[1]).swapaxes(1, 2)),
        "bias": low.constant(start),
    }
    y = target.y.as_image()
    low.emit("float_depthwise2d", {"x": x, "y": y}, constants, {**image_fields(x, y), **shape, **target.bounds})


def product(low: Lowering, x: TensorView, target: FloatTarget, w: Array, bias: Array, shape: Fields) -> None:
    """A float_conv2d instruction for each chain of a product; one adds to the sums of those before it.

    x, y, residual: images. w: [groups, OC, KH, KW, IC]; bias: [groups * OC]. A product of several chains has no
    residual.
    """
    boxes = chain_boxes(*w.shape[2:])
    y, steps, group = target.y.as_image(), (shape["DH"] * x.strides[2], shape["DW"] * x.strides[3], 4), 4 * w.shape[4]
    assert len(boxes) == 1 or target.residual is None, "one sum alone is folded into an instruction"
    before = None if target.residual is None else target.residual.as_image()
    for k, box in enumerate(boxes):
        last = k == len(boxes) - 1
        part = FloatTarget(
            y if last else low.image(image_shape(y), "<f4", NO_HALO), target.bounds if last else NO_BOUNDS, before
        )
        corner = x._replace(start=x.start + sum(s.start * step for s, step in zip(box, steps, strict=True)))
        taps = np.ascontiguousarray(w[:, :, *box]) if len(boxes) > 1 else w
        window: Fields = {**shape, "KH": taps.shape[2], "KW": taps.shape[3]}
        one_chain(low, corner, part, taps, bias if k == 0 else np.zeros_like(bias), window, group)
        before = part.y


def image_shape(y: TensorView) -> tuple[int, int, int, int]:
    n, c, h, w = y.shape
    return n, c, h, w


def chain_boxes(rows: int, columns: int, channels: int) -> list[tuple[slice, slice, slice]]:
    """The kernel rows, columns and channels of each chain of a product (reference/float_product.py)."""
    boxes = []
    for first, end in chain_ranges(rows, columns, channels):
        (r, c, k), count = (int(i) for i in np.unravel_index(first, (rows, columns, channels))), end - first
        if count >= columns * channels:
            box = (slice(r, r + count // (columns * channels)), slice(0, columns), slice(0, channels))
        elif count >= channels:
            box = (slice(r, r + 1), slice(c, c + count // channels), slice(0, channels))
        else:
            box = (slice(r, r + 1), slice(c, c + 1), slice(k, k + count))
        boxes.append(box)
    return boxes


def one_chain(
    low: Lowering, x: TensorView, target: FloatTarget, w: Array, bias: Array, shape: Fields, group: int
) -> None:
    """A float_conv2d instruction. y, residual: images. group: bytes from a group's channels of x to the next one's."""
    groups, oc, _, kw, ic = w.shape
    fused = kw == 1 or (x.strides[3] == 4 * ic and shape["DW"] == 1)
    y, residual = target.y, target.residual
    if all(shape[k] == 1 for k in ("KH", "KW", "SH", "SW")):
        x, y, residual = flattened(x, y, residual)
    filled = np.zeros((groups, round_up(oc, low.packing.lanes)), np.float32)
    filled[:, :oc] = bias.reshape(groups, oc)
    constants = {"w": low.float_weights(w), "bias": low.constant(filled)}
    runs: Fields = {"runs": 1, "run": kw * ic} if fused else {"runs": kw, "run": ic}
    sizes = {**image_fields(x, y), "C": oc, "G": groups, "x_c": group, "y_g": 4 * oc, **shape, **runs}
    emit_product(low, {"x": x, "y": y}, constants, {**sizes, **target.bounds}, residual)


def emit_product(low: Lowering, places: dict[str, TensorView | None], constants: dict[str, int], fields: Fields,
    r: TensorView | None,
                 steps: tuple[int, ...] | None = None) -> None:  # fmt: skip
    """r: what is added. steps: its strides over N, H and W, where its own dimensions are others than an image's."""
    more: Fields = {"post": POST_NONE, "r_n": 0, "r_h": 0, "r_w": 0, "r_g": 0}
    if r is not None:
        places = {**places, "r": r}
        n, h, w = steps or (r.strides[0], *r.strides[2:])
        more = {"post": POST_ADD, "r_n": n, "r_h": h, "r_w": w, "r_g": fields["y_g"]}
    low.emit("float_conv2d", {**places, "scratch": None}, constants, {**fields, **more})


def conv_transpose(low: Lowering, fused: Node) -> bool:
    node, *after = low.parts(fused)
    w = weights_of(low, node)
    if (
        not takes_epilogue(low, node, after)
        or w is None
        or w.ndim not in (3, 4)
        or any(d != 1 for d in node.attr("dilations") or ())
    ):
        return False
    w = w[:, :, None] if w.ndim == 3 else w
    x = low.image_of(node.inputs[0], conv_halo(low.graph, node))
    target = target_of(low, fused.outputs[0], after)
    bias = bias_of(low, node, w.shape[1] * int(node.attr("group")))
    for corner, part, kernel in phase_products(low.graph, node, x, target.y.as_image(), w):
        shape: Fields = {**UNIT, "KH": kernel.shape[2], "KW": kernel.shape[3]}
        product(low, corner, FloatTarget(part, target.bounds), kernel, bias, shape)
    return True


def matmul(low: Lowering, fused: Node) -> bool:
    node, *after = low.parts(fused)
    w = weights_of(low, node)
    if not takes_epilogue(low, node, after):
        return False
    if w is None or w.ndim != 2:
        return not after and node.op == "MatMul" and product_of_two(low, node)
    form = gemm_form(node)
    if low.type(node.inputs[0]).rank in (None, 0, 1) or form.turns_a:
        return False
    w = scaled(w.T if form.turns_b else w, form.alpha)
    if node.input(2) and low.graph.constants[node.inputs[2]].size not in (1, w.shape[1]):
        return False
    bias = scaled(bias_of(low, node, w.shape[1]), form.beta)
    return matmul_by(low, fused, after, w, bias)


def matmul_by(low: Lowering, fused: Node, after: list[Node], w: Array, bias: Array) -> bool:
    """The product of a node's first input, of two dimensions or more, with constant weights [K, N], plus a bias [N],
    and what follows."""
    x = low.places[fused.inputs[0]]
    if not x.has_rows:
        x = low.dense_of(fused.inputs[0])
    target = target_of(low, fused.outputs[0], after, image=False)
    with row_images(low, target.y, x, target.residual) as (y, image_x, residual):
        product(low, image_x, FloatTarget(y, target.bounds, residual), w.T[None, :, None, None, :], bias, UNIT)
    return True


def product_of_two(low: Lowering, node: Node) -> bool:
    """Batches of matrices, as numpy's matmul broadcasts them: the second is packed as weights in each run."""
    types = [low.type(v) for v in (*node.inputs[:2], node.outputs[0])]
    if any(t.dtype is not DType.F32 for t in types) or node.input(2) or any(0 in t.static_shape for t in types):
        return False
    if any(operand(low, v) is None for v in node.inputs[:2]):
        return False
    made = operands_of_two(low, node)
    if made is None:
        return False
    (y, a, b), groups, after = made
    ranges: list[tuple[int, int]] = chain_ranges(1, 1, b.shape[-2])
    before: TensorView | None = None
    for first, end in ranges:
        result = y if (first, end) == ranges[-1] else like(low, y)
        chain_of_two(
            low, (result, shifted(a, 4 * first), shifted(b, first * b.strides[-2])), before, groups, end - first
        )
        before = result
    after()
    return True


def like(low: Lowering, y: TensorView) -> TensorView:
    """A new place with the strides of another."""
    size = sum((d - 1) * s for d, s in zip(y.shape, y.strides, strict=True)) + y.itemsize
    return y._replace(buffer=low.allocate(size), start=0)


def chain_of_two(
    low: Lowering,
    operands: tuple[TensorView, TensorView, TensorView],
    before: TensorView | None,
    groups: list[Group],
    k: int,
) -> None:
    """The instructions of one chain of k terms, (y, a, b) from its first term on; it adds to `before`, which lies as y
    does."""
    y, a, b = operands
    columns = b.shape[-1]
    channels, count = round_up(columns, low.packing.lanes), groups[0].matrices
    size = round_up(count * channels * k * 4, 64)
    packed = low.allocate(len(groups) * size)
    weights = [TensorView(packed, j * size, (size // 4,), (4,), "<f4") for j in range(len(groups))]
    for group, w in zip(groups, weights, strict=True):
        low.emit("float_pack", {"x": shifted(b, group.b), "y": w}, {}, {
            "G": count, "K": k, "C": columns, "x_g": group.b_g, "x_k": b.strides[-2],
            "x_c": b.strides[-1]})  # fmt: skip
    bias = low.constant(np.zeros(count * channels, np.float32))
    for group, w in zip(groups, weights, strict=True):
        for rows in group.rows:
            sizes: Fields = {**UNIT, "runs": 1, **rows.fields, "C": columns, "run": k, **NO_BOUNDS}
            places: dict[str, TensorView | None] = {"x": shifted(a, rows.a), "y": shifted(y, rows.y), "w": w}
            steps = tuple(int(rows.fields[f"y_{d}"]) for d in "nhw")
            emit_product(low, places, {"bias": bias}, sizes, None if before is None else shifted(before, rows.y), steps)
