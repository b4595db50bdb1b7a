"""Convolutions, transposed convolutions and matrix products, with their epilogues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from ..graph import Array, DType, Node
from ..reference.arithmetic import bounds, multiplier, product_scale
from ..reference.integer_elementwise import addends
from ..reference.integer_product import groups_of
from .coalesce_dims import coalesce_dims, padded
from .epilogue import MAX_SUM, int8_takes
from .layout import NO_HALO, conv_halo, conv_window, window_fields
from .lower_weights import are_u8_by_i8, repeated_image, repeated_rows
from .matrix_batches import Group, as_matrices, grouped
from .packing import round_up
from .phases import phase_products
from .product_constants import MAX_ACCUMULATOR, Factors, of_conv, of_depthwise, of_matrix, of_product, weights
from .program import CONSTANTS, TensorView, dense_strides
from .select import Lowering
from .table import POST_ADD, POST_NONE, POST_TABLE

Fields = dict[str, int | float]
NO_POST: Fields = {"post": POST_NONE, "r_n": 0, "r_h": 0, "r_w": 0, "r_g": 0, "t_c": 0, "a_zero": 0, "r_zero": 0,
    "f_a": 0.0, "f_r": 0.0,
                   "p_zero": 0, "p_low": 0, "p_high": 255}  # fmt: skip
UNIT: Fields = dict.fromkeys(("KH", "KW", "SH", "SW", "DH", "DW"), 1)


class Target(NamedTuple):
    """Where a product's result goes, and what becomes of it on the way."""

    y: TensorView
    post: Fields = NO_POST
    residual: TensorView | None = None
    table: Array | None = None

    def as_image(self) -> Target:
        """With the strides of the residual, which has the output's shape, filled in."""
        r = None if self.residual is None else self.residual.as_image()
        strides: Fields = {} if r is None else {"r_n": r.strides[0], "r_h": r.strides[2], "r_w": r.strides[3]}
        return Target(self.y.as_image(), self.post | strides, r, self.table)


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


def takes_epilogue(low: Lowering, node: Node, after: list[Node]) -> bool:
    """Whether the kernels compute what follows a product; only with constant weights."""
    constants = low.graph.constants
    if not after or (
        node.inputs[1] in constants and int8_takes(node, after, low.types, constants, low.packing.byte_tables)
    ):
        return True
    return low.refuse("no kernel has its epilogue")


def target_of(low: Lowering, name: str, after: list[Node], channels_last: bool | None = True) -> Target:
    """The place of a value that a product with an epilogue of at most one op writes, and what that op does on the way
    there."""
    y = low.place(name, channels_last=channels_last)
    for part in after:
        if part.op == "Lookup":
            table = low.graph.constants[part.inputs[1]]
            return Target(y, {**NO_POST, "post": POST_TABLE, "t_c": 256 if table.ndim == 2 else 0}, None, table)
        return Target(y, sum_fields(low, part), residual_of(low, part, channels_last))
    return Target(y)


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


def residual_of(low: Lowering, part: Node, image: bool | None) -> TensorView:
    """What a product's result is added to, lying as a product writes: its own place, or a copy."""
    (name,) = (v for v in part.inputs if v in low.places)
    if image:
        return low.image_of(name)
    return low.places[name] if low.places[name].has_rows else low.dense_of(name)


def conv(low: Lowering, fused: Node) -> bool:
    node, *after = low.parts(fused)
    if (
        not takes_epilogue(low, node, after)
        or not are_u8_by_i8(low, node)
        or len(low.type(node.inputs[0]).static_shape) not in (3, 4)
    ):
        return False
    found = weights(low, node, 0)
    if found is None:
        return False
    groups, halo = int(node.attr("group")), conv_halo(low.graph, node)
    _, win = conv_window(low.graph, node)
    x = repeated_image(low, node.inputs[0], found.parts, groups, halo)
    factors = low.derived(of_conv, *found[2:], low.zero(node.inputs[0]), groups)
    target = target_of(low, fused.outputs[0], after).as_image()
    x = x._replace(start=x.start - win.begin[0] * x.strides[2] - win.begin[1] * x.strides[3])
    shape, w = window_fields(win), factors.w
    if is_column(target.y, win.kernel[1]):
        residual = None if target.residual is None else target.residual.as_image().swap_hw()
        target = Target(target.y.swap_hw(), target.post, residual, target.table).as_image()
        x, w, shape = x.swap_hw(), factors.turned, swap_hw(shape)
    if groups == x.shape[1] == len(factors.bias) and w.shape[4] == 1:
        depthwise(low, node, x, target, w, factors, shape)
    else:
        product(low, node, x, target, w, factors.bias, factors.scale, shape)
    return True


def is_column(y: TensorView, kernel_width: int) -> bool:
    """Whether a convolution is of rows of one pixel: on its side it is of one long row, which kernels take many pixels
    at a time of."""
    return kernel_width == 1 and y.shape[3] == 1 and y.shape[2] > 1


def swap_hw(shape: Fields) -> Fields:
    """A window's fields with rows for columns."""
    return {name[0] + ("W" if name[1] == "H" else "H"): value for name, value in shape.items()}


def operands(low: Lowering, x: TensorView, target: Target, constants: dict[str, int]) -> dict[str, TensorView | None]:
    if target.table is not None:
        constants["table"] = low.constant(target.table)
    found: dict[str, TensorView | None] = {"x": x, "y": target.y, "scratch": None}
    return found if target.residual is None else {**found, "r": target.residual}


def depthwise(
    low: Lowering, node: Node, x: TensorView, target: Target, w: Array, factors: Factors, shape: Fields
) -> None:
    """factors: of weights [C, 1, KH, KW, 1]."""
    channels, lanes, y = len(factors.w), low.packing.lanes, target.y
    flat = (
        channels < lanes
        and shape["SW"] == 1
        and x.strides[3] == channels
        and y.strides[3] == channels * y.itemsize
        and y.shape[3] > 1
        and target.post["post"] == POST_NONE
    )
    *data, blocks = low.derived(of_depthwise, low.isa, w, factors.bias, factors.scale, flat)
    constants = {name: low.keep(part) for name, part in zip(("w", "bias", "scale"), data, strict=True)}
    fields = {
        **image_fields(x, y),
        "G": 1,
        "x_c": 1,
        "y_g": 0,
        **shape,
        "runs": 1,
        "run": 1,
        **limits(low, node),
        **target.post,
    }
    low.emit(
        "depthwise2d",
        operands(low, x, target, constants),
        constants,
        {**fields, "blocks": blocks, "flat": int(flat)},
    )


def image_fields(x: TensorView, y: TensorView) -> Fields:
    n, c, h, w = y.shape
    names = ("x_n", "x_h", "x_w", "y_n", "y_h", "y_w")
    strides = zip(names, (x.strides[0], *x.strides[2:], y.strides[0], *y.strides[2:]), strict=True)
    return {"N": n, "H": h, "W": w, "C": c, **dict(strides)}


def product(
    low: Lowering,
    node: Node,
    x: TensorView,
    target: Target,
    w: Array,
    bias: Array,
    scale: Array,
    shape: Fields,
) -> None:
    """A conv2d instruction. w: [groups, OC, KH, KW, IC]; bias: int64 [groups * OC]; scale: of the sums, one or one an
    output channel."""
    groups, oc, _, kw, ic = w.shape
    gap = x.strides[3] - ic
    # what is beside the channels has weights of zero
    if not (groups == 1 and 0 < gap < 4 and kw > 1 and last_read(x, target.y, shape, ic + gap) <= low.room(x)):
        gap = 0
    ic += gap
    fused = kw == 1 or (x.strides[3] == ic and shape["DW"] == 1)
    y, post, residual, _ = target
    if all(shape[k] == 1 for k in ("KH", "KW", "SH", "SW")):
        x, y, residual = flattened(x, y, residual)
        if residual is not None:
            post = post | {"r_n": residual.strides[0], "r_h": residual.strides[2], "r_w": residual.strides[3]}
    data = low.derived(of_product, low.isa, w, bias, scale, fused, gap)
    constants = {name: low.keep(part) for name, part in zip(("w", "bias", "scale"), data, strict=True)}
    runs, run = (1, kw * ic) if fused else (kw, ic)
    sizes = {
        **image_fields(x, y),
        "C": oc,
        "G": groups,
        "x_c": ic,
        "y_g": oc * y.itemsize,
        **shape,
        "runs": runs,
        "run": run,
    }
    fields = {**sizes, **limits(low, node), **post, "r_g": oc}
    low.emit("conv2d", operands(low, x, target._replace(y=y, residual=residual), constants), constants, fields)


def last_read(x: TensorView, y: TensorView, shape: Fields, run: int) -> int:
    """Where in its buffer the last byte lies that a product reads of x, and one more."""
    n, _, h, w = y.shape
    row = (h - 1) * int(shape["SH"]) + (int(shape["KH"]) - 1) * int(shape["DH"])
    column = (w - 1) * int(shape["SW"]) + (int(shape["KW"]) - 1) * int(shape["DW"])
    return x.start + (n - 1) * x.strides[0] + row * x.strides[2] + column * x.strides[3] + run


def flattened(
    x: TensorView, y: TensorView, residual: TensorView | None
) -> tuple[TensorView, TensorView, TensorView | None]:
    """1x1 over images whose rows follow each other: all of them as one row."""
    n, _, h, w = y.shape
    for p in (x, y, residual):
        if p is not None and (
            (h > 1 and p.strides[2] != w * p.strides[3]) or (n > 1 and p.strides[0] != h * w * p.strides[3])
        ):
            return x, y, residual
    total = n * h * w

    def flat(p: TensorView) -> TensorView:
        pixel = p.strides[3]
        return TensorView(
            p.buffer, p.start, (1, p.shape[1], 1, total), (total * pixel, p.itemsize, total * pixel, pixel), p.dtype
        )

    return flat(x), flat(y), None if residual is None else flat(residual)


def conv_transpose(low: Lowering, node: Node) -> bool:
    if not are_u8_by_i8(low, node) or len(low.type(node.inputs[0]).static_shape) not in (3, 4):
        return False
    found = weights(low, node, 1)
    if found is None:
        return False
    w = found.w[:, :, None] if found.w.ndim == 3 else found.w
    groups, halo = int(node.attr("group")), conv_halo(low.graph, node)
    x = repeated_image(low, node.inputs[0], found.parts, groups, halo)
    y = low.place(node.outputs[0], channels_last=True).as_image()
    for corner, part, kernel in phase_products(low.graph, node, x, y, w):
        sums = kernel.astype(np.int64).sum((2, 3, 4)).reshape(-1)
        bias = np.broadcast_to(found.bias, sums.shape) - low.zero(node.inputs[0]) * sums
        shape: Fields = {**UNIT, "KH": kernel.shape[2], "KW": kernel.shape[3]}
        product(low, node, corner, Target(part), kernel, bias, found.scale, shape)
    return True


def matmul(low: Lowering, fused: Node) -> bool:
    node, *after = low.parts(fused)
    if not takes_epilogue(low, node, after):
        return False
    x_type, w_type, y_type = (low.type(v) for v in (node.inputs[0], node.inputs[1], node.outputs[0]))
    if node.inputs[1] not in low.graph.constants:
        return product_of_two(low, node)
    if (
        low.graph.constants[node.inputs[1]].ndim != 2
        or x_type.rank in (None, 0, 1)
        or w_type.quant is None
        or not y_type.is_static
    ):
        return False
    turned = node.op == "Gemm" and node.attr("transB")
    found = weights(low, node, 0 if turned else 1) if are_u8_by_i8(low, node) else None
    if found is None:
        return False
    x = repeated_rows(low, node.inputs[0], found.parts)
    if not x.has_rows:
        x = low.dense_of(node.inputs[0])
    target = target_of(low, fused.outputs[0], after, None)
    w, _, bias, scale = low.derived(of_matrix, *found[2:], low.zero(node.inputs[0]), turned)
    with row_images(low, target.y, x, target.residual) as (y, image_x, residual):
        rows = target._replace(y=y, residual=residual).as_image()
        product(low, node, image_x, rows, w, bias, scale, UNIT)
    return True


@contextmanager
def row_images(
    low: Lowering, y: TensorView, x: TensorView, residual: TensorView | None
) -> Iterator[tuple[TensorView, TensorView, TensorView | None]]:
    """The output, input and residual of a product of rows as images: where they are, or dense copies where strides need
    more loops."""
    beside = y if y.has_rows else low.dense(y.shape, y.dtype)
    images = matrices(beside, x, residual) or matrices(beside, low.copied(x), residual)
    if images is None:  # views and parts of concatenations, several times over
        beside = low.dense(y.shape, y.dtype)
        images = matrices(beside, low.copied(x), None if residual is None else low.copied(residual))
    assert images is not None, "dense operands have rows that follow each other"
    yield images
    if beside is not y:
        low.move(beside, y)


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


def matrices(y: TensorView, *others: TensorView | None) -> tuple[TensorView, TensorView, TensorView | None] | None:
    """Operands [..., C] of equal leading dimensions as images [N, C, H, W]; None where their strides need more
    loops."""
    operands = [p for p in (y, *others) if p is not None]
    rows = padded(coalesce_dims(y.shape[:-1], [p.strides[:-1] for p in operands]), 3, len(operands))
    if rows is None:
        return None
    n, h, w = (d for d, _ in rows)
    made = []
    for k, p in enumerate(operands):
        sn, sh, sw = (s[k] for _, s in rows)
        made.append(p._replace(shape=(n, p.shape[-1], h, w), strides=(sn, p.itemsize, sh, sw), halo=NO_HALO))
    return made[0], made[1], made[2] if len(made) == 3 else None


def product_of_two(low: Lowering, node: Node) -> bool:
    """Batches of matrices, as numpy's matmul broadcasts them: the second is packed as weights in each run. Its zero
    point must be 128."""
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
    if low.zero(node.inputs[1]) != 128:
        return low.refuse("its second operand has a zero point other than 128")
    scale = float(scales(low, node).max()) if ty.quant is not None else 0.0
    if not terms_fit(k) or k * 255 * 128 * scale >= MAX_SUM:
        return low.refuse("a sum of its products could leave int32")
    made = operands_of_two(low, node, layout_for_transpose(low, node.outputs[0]))
    if made is None:
        return False
    (y, a, b), groups, after = made
    columns, p, zero = b.shape[-1], low.packing, low.zero(node.inputs[0])
    channels, steps = round_up(columns, p.multiple), round_up(k, p.step)
    count = groups[0].matrices
    size, bias_size = (round_up(count * channels * n, 64) for n in (steps, 4))
    packed, bias = low.allocate(len(groups) * size), low.allocate(len(groups) * bias_size)
    parts = range(len(groups))
    weights = [TensorView(packed, j * size, (size,), (1,), "|u1") for j in parts]
    sums = [TensorView(bias, j * bias_size, (bias_size,), (1,), "|u1") for j in parts]
    for group, w, s in zip(groups, weights, sums, strict=True):
        low.emit("pack", {"x": shifted(b, group.b), "y": w, "bias": s}, {}, {
            "G": count, "K": k, "C": columns, "x_g": group.b_g, "x_k": b.strides[-2], "x_c": b.strides[-1],
            "y_g": channels * steps,
            "x_zero": zero})  # fmt: skip
    factor = low.constant(np.full(count * channels, scales(low, node)[0], np.float32))
    for group, w, s in zip(groups, weights, sums, strict=True):
        for rows in group.rows:
            x = shifted(a, rows.a)
            places: dict[str, TensorView | None] = {"x": x, "y": shifted(y, rows.y), "scratch": None, "w": w, "bias": s}
            sizes: Fields = {**UNIT, "runs": 1, **rows.fields, "C": columns, "run": k}
            low.emit("conv2d", places, {"scale": factor}, {**sizes, **limits(low, node), **NO_POST})
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
