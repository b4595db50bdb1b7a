"""Products of int8: what they are made of, and the instruction of all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..graph import Array, DType, Node
from ..reference.arithmetic import bounds, multiplier, product_scale
from ..reference.integer_elementwise import addends
from ..reference.integer_product import groups_of
from . import products
from .epilogue import MAX_SUM, int8_takes
from .lower_weights import are_u8_by_i8
from .matrix_batches import Group, as_matrices, grouped
from .packing import round_up
from .pairings import can_be_ordered, steps_of
from .product_constants import MAX_ACCUMULATOR, of_conv, of_depthwise, of_matrix, of_product, weights
from .products import UNIT, Factors, Fields, Target, Transposed, image_fields, pieces, residual_of
from .program import CONSTANTS, TensorView, dense_strides
from .select import Lowering
from .table import POST_ADD, POST_NONE, POST_TABLE

NO_POST: Fields = {"post": POST_NONE, "r_n": 0, "r_h": 0, "r_w": 0, "r_g": 0, "t_c": 0, "a_zero": 0, "r_zero": 0,
    "f_a": 0.0, "f_r": 0.0,
                   "p_zero": 0, "p_low": 0, "p_high": 255}  # fmt: skip


def limits(low: Lowering, node: Node) -> Fields:
    """Fields of the requantization of a product's output."""
    y = low.type(node.outputs[0])
    if y.quant is None:
        return {"y_f32": 1, "zero": 0, "low": 0, "high": 255}
    qmin, qmax = bounds(node, y)
    return {"y_f32": 0, "zero": y.quant.z, "low": qmin, "high": qmax}


def scales(low: Lowering, node: Node) -> Array:
    """The multiplier of each output channel, or one."""
    x, w, y = low.type(node.inputs[0]), low.type(node.inputs[1]), low.type(node.outputs[0])
    groups = groups_of(node)
    return np.asarray(
        product_scale(x, w, groups) if y.quant is None else multiplier(x, w, y, groups), np.float32
    ).reshape(-1)


def terms_fit(count: int) -> bool:
    """Whether int32 holds any sum of so many products of u8 and i8."""
    return count * 255 * 128 <= MAX_ACCUMULATOR


def bias_of(low: Lowering, node: Node) -> Array:
    return low.graph.constants[node.inputs[2]].astype(np.int64).reshape(-1) if node.input(2) else np.zeros(1, np.int64)


def sum_fields(low: Lowering, part: Node) -> Fields:
    """Fields of the sum or difference of a product's bytes and a residual's."""
    types = [low.type(v) for v in (*part.inputs, *part.outputs)]
    m_a, m_b = addends(part, *types)
    product, residual = part.inputs
    if residual not in low.places:
        m_a, m_b, product, residual = m_b, m_a, residual, product
    qmin, qmax = bounds(part, types[2])
    factors = {"a_zero": low.zero(product), "r_zero": low.zero(residual), "f_a": float(m_a), "f_r": float(m_b)}
    return {**NO_POST, "post": POST_ADD, **factors, "p_zero": low.zero(part.outputs[0]), "p_low": qmin, "p_high": qmax}


def operands(low: Lowering, x: TensorView, target: Target, constants: dict[str, int]) -> dict[str, TensorView | None]:
    if target.table is not None:
        constants["table"] = low.constant(target.table)
    found: dict[str, TensorView | None] = {"x": x, "y": target.y, "scratch": None}
    return found if target.residual is None else {**found, "r": target.residual}


class Int8:
    """u8 activations by int8 weights (`products.Numbers`)."""

    def takes(self, low: Lowering, node: Node, after: list[Node]) -> bool:
        constants = low.graph.constants
        if after and not (
            node.inputs[1] in constants and int8_takes(node, after, low.types, constants, low.packing.byte_tables)
        ):
            return low.refuse("no kernel has its epilogue")
        return are_u8_by_i8(low, node) and low.type(node.outputs[0]).is_static

    def of_conv(self, low: Lowering, node: Node) -> Factors | None:
        found = weights(low, node, 0)
        if found is None:
            return None
        made: Factors = low.derived(of_conv, *found[2:], low.zero(node.inputs[0]), int(node.attr("group")))
        return made._replace(parts=found.parts)

    def of_transposed(self, low: Lowering, node: Node) -> Transposed | None:
        found = weights(low, node, 1)
        if found is None:
            return None
        w = products.as_image_weights(found.w)
        return Transposed(w, found.bias, found.scale, found.parts, low.zero(node.inputs[0]))

    def of_rows(self, low: Lowering, node: Node) -> Factors | None:
        turned = node.op == "Gemm" and node.attr("transB")
        found = weights(low, node, 0 if turned else 1) if low.graph.constants[node.inputs[1]].ndim == 2 else None
        if found is None:
            return None
        made: Factors = low.derived(of_matrix, *found[2:], low.zero(node.inputs[0]), turned)
        return made._replace(parts=found.parts)

    def target(self, low: Lowering, name: str, after: list[Node], image: bool) -> Target:
        """Of a value that a product with an epilogue of at most one op writes, and what that op does on the way
        there."""
        y = low.place(name, channels_last=True if image else None)
        for part in after:
            if part.op == "Lookup":
                table = low.graph.constants[part.inputs[1]]
                return Target(y, {**NO_POST, "post": POST_TABLE, "t_c": 256 if table.ndim == 2 else 0}, None, table)
            return Target(y, sum_fields(low, part), residual_of(low, part, image))
        return Target(y, NO_POST)

    def depthwise(
        self, low: Lowering, node: Node, x: TensorView, target: Target, factors: Factors, shape: Fields
    ) -> bool:
        (channels, *_), lanes, y = factors.w.shape, low.packing.lanes, target.y
        flat = (
            channels < lanes
            and shape["SW"] == 1
            and x.strides[3] == channels
            and y.strides[3] == channels * y.itemsize
            and y.shape[3] > 1
            and target.post["post"] == POST_NONE
        )
        *data, blocks = low.derived(of_depthwise, low.isa, factors.w, factors.bias, factors.scale, flat)
        constants = {name: low.keep(part) for name, part in zip(("w", "bias", "scale"), data, strict=True)}
        sizes: Fields = {**image_fields(x, y), "G": 1, "x_c": 1, "y_g": 0, **shape, "runs": 1, "run": 1}
        fields = {**sizes, **limits(low, node), **target.post, "blocks": blocks, "flat": int(flat)}
        fields["parts"] = factors.parts
        low.emit("depthwise2d", operands(low, x, target, constants), constants, fields)
        return True

    def product(
        self, low: Lowering, node: Node, x: TensorView, target: Target, factors: Factors, shape: Fields
    ) -> bool:
        w, (groups, oc, _, kw, ic) = factors.w, factors.w.shape
        gap = x.strides[3] - ic
        # what is beside the channels has weights of zero
        if not (groups == 1 and 0 < gap < 4 and kw > 1 and last_read(x, target.y, shape, ic + gap) <= low.room(x)):
            gap = 0
        made = pieces(x, target, (*w.shape[:4], ic + gap), shape, ic + gap)
        steps = steps_of(low.isa, {**made.fields, "C": oc}) if low.packing.pairs else None
        steps = steps if steps is not None and can_be_ordered(steps) else None
        data = low.derived(of_product, low.isa, w, factors.bias, factors.scale, made.fused, gap, steps)
        constants = {name: low.keep(part) for name, part in data.items()}
        fields = {**made.fields, **limits(low, node), **made.target.post, "r_g": oc, "pairs": int(steps is not None)}
        low.emit("conv2d", operands(low, made.x, made.target, constants), constants, fields)
        return True


INT8 = Int8()
conv, conv_transpose = partial(products.conv, INT8), partial(products.conv_transpose, INT8)


def matmul(low: Lowering, fused: Node) -> bool:
    if fused.inputs[1] in low.graph.constants and low.type(fused.inputs[1]).dtype is not DType.U8:
        return products.matmul(INT8, low, fused)
    return len(low.parts(fused)) == 1 and product_of_two(low, fused)


def last_read(x: TensorView, y: TensorView, shape: Fields, run: int) -> int:
    """Where in its buffer the last byte lies that a product reads of x, and one more."""
    n, _, h, w = y.shape
    row = (h - 1) * int(shape["SH"]) + (int(shape["KH"]) - 1) * int(shape["DH"])
    column = (w - 1) * int(shape["SW"]) + (int(shape["KW"]) - 1) * int(shape["DW"])
    return x.start + (n - 1) * x.strides[0] + row * x.strides[2] + column * x.strides[3] + run


def layout_for_transpose(low: Lowering, name: str) -> TensorView | None:
    """A place whose strides have the order that a transposition, the value's only reader, wants."""
    readers = low.consumers.get(name, [])
    if len(readers) != 1 or readers[0].op != "Transpose" or name in low.graph.outputs:
        return None
    perm = readers[0].attr("perm") or tuple(reversed(range(low.type(name).rank or 0)))
    shape = low.type(name).static_shape
    if not perm or perm[-1] != len(shape) - 1:
        return None
    strides = dense_strides(tuple(shape[p] for p in perm), 1)
    return TensorView(CONSTANTS, 0, shape, tuple(strides[perm.index(k)] for k in range(len(shape))), "|u1")


def product_of_two(low: Lowering, node: Node) -> bool:
    """Batches of matrices, as numpy's matmul broadcasts them: the second is packed as weights in each run.

    Weights are its bytes less 128. Where its zero point z is another, the same rows of the first operand are read once
    more, or twice, for weights that are all one number, 128 - z together.
    """
    ta, tb, ty = (low.type(v) for v in (*node.inputs[:2], node.outputs[0]))
    if (
        node.op != "MatMul"
        or node.input(2)
        or any(v not in low.places for v in node.inputs[:2])
        or 0 in ty.static_shape
    ):
        return False
    if any(t.dtype is not DType.U8 or not t.is_quantized for t in (ta, tb)) or ty.dtype not in (DType.U8, DType.F32):
        return False
    k = ta.static_shape[-1]
    zero_b = low.zero(node.inputs[1])
    taps = 1 if zero_b == 128 else 2 if zero_b else 3
    rest = (128 - zero_b) // max(1, taps - 1)
    scale = float(scales(low, node).max()) if ty.quant is not None else 0.0
    if not terms_fit(taps * k) or k * 255 * max(128, zero_b, 255 - zero_b) * scale >= MAX_SUM:
        return low.refuse("a sum of its products could leave int32")
    made = operands_of_two(low, node, layout_for_transpose(low, node.outputs[0]))
    if made is None:
        return False
    (y, a, b), groups, after = made
    columns, p, zero = b.shape[-1], low.packing, low.zero(node.inputs[0])
    channels, steps = round_up(columns, p.multiple), taps * round_up(k, p.step)
    count = groups[0].matrices
    size, bias_size = (round_up(count * channels * n, 64) for n in (steps, 4))
    packed, bias = low.allocate(len(groups) * size), low.allocate(len(groups) * bias_size)
    parts = range(len(groups))
    weights = [TensorView(packed, j * size, (size,), (1,), "|u1") for j in parts]
    sums = [TensorView(bias, j * bias_size, (bias_size,), (1,), "|u1") for j in parts]
    for group, w, s in zip(groups, weights, sums, strict=True):
        low.emit("pack", {"x": shifted(b, group.b), "y": w, "bias": s}, {}, {
            "G": count, "K": k, "C": columns, "taps": taps, "rest": rest, "x_zero": zero,
            "x_g": group.b_g, "x_k": b.strides[-2], "x_c": b.strides[-1], "y_g": channels * steps})  # fmt: skip
    factor = low.constant(np.full(count * channels, scales(low, node)[0], np.float32))
    for group, w, s in zip(groups, weights, sums, strict=True):
        for rows in group.rows:
            x = shifted(a, rows.a)
            places: dict[str, TensorView | None] = {"x": x, "y": shifted(y, rows.y), "scratch": None, "w": w, "bias": s}
            again: Fields = {"KH": taps, "DH": int(taps == 1)}
            sizes: Fields = {**UNIT, **again, "runs": 1, **rows.fields, "C": columns, "run": k}
            low.emit("conv2d", places, {"scale": factor}, {**sizes, **limits(low, node), **NO_POST, "pairs": 0})
    after()
    return True


def operands_of_two(
    low: Lowering, node: Node, like: TensorView | None = None
) -> tuple[tuple[TensorView, TensorView, TensorView], list[Group], Callable[[], None]] | None:
    """(y, a, b) as matrices and the groups of their products, through dense copies where their strides need that; then
    what is to be done behind. None where no copies help: operands that are broadcast in many dimensions.
    """
    names = node.inputs[:2]
    a, b = (low.places[v] for v in names)
    if not a.has_rows:
        a = low.dense_of(names[0])
    y = low.place(node.outputs[0], channels_last=False, like=like)
    beside = y if not y.shape or y.has_rows or len(b.shape) == 1 else low.dense(y.shape, y.dtype)
    groups = grouped(*as_matrices(beside, a, b))
    if groups is None:
        a, b = (low.dense_of(v) for v in names)
        groups = grouped(*as_matrices(beside, a, b))
    if groups is None and not beside.is_dense:
        beside = low.dense(y.shape, y.dtype)
        groups = grouped(*as_matrices(beside, a, b))
    if groups is None:
        return None
    return as_matrices(beside, a, b), groups, lambda: None if beside is y else low.move(beside, y)


def shifted(place: TensorView, offset: int) -> TensorView:
    return place._replace(start=place.start + offset)
