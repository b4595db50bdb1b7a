"""Products that stay float: convolutions, transposed ones and matrix products, with a sum and bounds behind them folded
in."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..graph import Array, DType, Node
from ..graph.type_rules import GemmForm, gemm_form, is_bias
from ..reference.float_product import LONGEST, chain_ranges, scaled
from . import products
from .epilogue import bounds_of, float_takes
from .layout import NO_HALO
from .lower_float import operand
from .lower_product import operands_of_two, shifted
from .matrix_batches import Group
from .packing import round_up
from .products import UNIT, Factors, Fields, Target, Transposed, image_fields, pieces, residual_of
from .program import TensorView
from .select import Lowering
from .table import POST_ADD, POST_NONE

NO_BOUNDS: Fields = {"act": 0, "f_low": 0.0, "f_high": 0.0}


def takes_epilogue(low: Lowering, node: Node, after: list[Node]) -> bool:
    """Whether the kernels compute what follows a product; only with constant weights."""
    constants = low.graph.constants
    if not after or (node.inputs[1] in constants and float_takes(node, after, low.types, constants)):
        return True
    return low.refuse("no kernel has its epilogue")


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


def _start(bias: Array | None, channels: int) -> Array:
    if bias is None:
        return np.zeros(channels, np.float32)
    return np.broadcast_to(bias.reshape(-1).astype(np.float32), (channels,))


def _of_conv(w: Array, bias: Array | None, groups: int) -> Factors:
    w = products.as_image_weights(w)
    return Factors(products.pixels(w, groups), products.pixels(w.swapaxes(2, 3), groups), _start(bias, len(w)))


def _of_rows(w: Array, bias: Array | None, form: GemmForm) -> Factors:
    columns = products.of_columns(scaled(w.T if form.turns_b else w, form.alpha))
    return Factors(columns, columns, scaled(_start(bias, columns.shape[1]), form.beta))


def _of_chain(w: Array, chain: int) -> Array:
    return np.ascontiguousarray(w[:, :, *chain_boxes(*w.shape[2:])[chain]])


class Floats:
    """float32 (`products.Numbers`)."""

    def takes(self, low: Lowering, node: Node, after: list[Node]) -> bool:
        return takes_epilogue(low, node, after) and weights_of(low, node) is not None

    def constants(self, low: Lowering, node: Node) -> tuple[Array, Array | None]:
        c = low.graph.constants
        return c[node.inputs[1]], c[node.inputs[2]] if node.input(2) else None

    def of_conv(self, low: Lowering, node: Node) -> Factors | None:
        return low.derived(_of_conv, *self.constants(low, node), int(node.attr("group")))

    def of_transposed(self, low: Lowering, node: Node) -> Transposed | None:
        w, bias = self.constants(low, node)
        w = products.as_image_weights(w)
        return Transposed(w, _start(bias, w.shape[1] * int(node.attr("group"))))

    def of_rows(self, low: Lowering, node: Node) -> Factors | None:
        form, (w, bias) = gemm_form(node), self.constants(low, node)
        columns = w.shape[0 if form.turns_b else 1]
        if form.turns_a or (bias is not None and not is_bias(bias, columns)):
            return None
        return low.derived(_of_rows, w, bias, form)

    def target(self, low: Lowering, name: str, after: list[Node], image: bool) -> Target:
        """Of a value that a product with an epilogue writes: with a sum and bounds, one of them, or none."""
        y, bounds, residual = low.place(name, channels_last=True if image else None), NO_BOUNDS, None
        for part in after:
            if part.op == "Add":
                residual = residual_of(low, part, image)
                continue
            least, most = bounds_of(part, low.graph.constants) or (0.0, 0.0)
            bounds = {"act": 1 if most is None else 2, "f_low": least, "f_high": most or 0.0}
        return Target(y, bounds, residual)

    def depthwise(
        self, low: Lowering, node: Node, x: TensorView, target: Target, factors: Factors, shape: Fields
    ) -> bool:
        (channels, _, rows, columns, _), lanes = factors.w.shape, low.packing.lanes
        if rows * columns > LONGEST:
            return False
        filled = np.zeros((round_up(channels, lanes), rows * columns), np.float32)
        filled[:channels] = factors.w.reshape(channels, -1)
        start = np.zeros(len(filled), np.float32)
        start[:channels] = factors.bias
        w = low.constant(filled.reshape(-1, lanes, filled.shape[1]).swapaxes(1, 2))
        fields = {**image_fields(x, target.y), **shape, **{name: target.post[name] for name in NO_BOUNDS}}
        low.emit("float_depthwise2d", {"x": x, "y": target.y}, {"w": w, "bias": low.constant(start)}, fields)
        return True

    def product(
        self, low: Lowering, node: Node, x: TensorView, target: Target, factors: Factors, shape: Fields
    ) -> bool:
        """A float_conv2d instruction for each chain of a product; one adds to the sums of those before it. A product of
        several chains has no residual."""
        w, bias = factors.w, factors.bias
        boxes = chain_boxes(*w.shape[2:])
        steps, group = (shape["DH"] * x.strides[2], shape["DW"] * x.strides[3], 4), 4 * w.shape[4]
        assert len(boxes) == 1 or target.residual is None, "one sum alone is folded into an instruction"
        before = target.residual
        for k, box in enumerate(boxes):
            last = k == len(boxes) - 1
            y = target.y if last else low.image(image_shape(target.y), "<f4", NO_HALO)
            corner = x._replace(start=x.start + sum(s.start * step for s, step in zip(box, steps, strict=True)))
            taps = low.derived(_of_chain, w, k) if len(boxes) > 1 else w
            window: Fields = {**shape, "KH": taps.shape[2], "KW": taps.shape[3]}
            start = bias if k == 0 else np.zeros_like(bias)
            one_chain(low, corner, Target(y, target.post if last else NO_BOUNDS, before), taps, start, window, group)
            before = y
        return True


FLOATS = Floats()
conv, conv_transpose = partial(products.conv, FLOATS), partial(products.conv_transpose, FLOATS)


def matmul(low: Lowering, fused: Node) -> bool:
    node, *after = low.parts(fused)
    if not takes_epilogue(low, node, after):
        return False
    w = weights_of(low, node)
    if w is None or w.ndim != 2:
        return not after and node.op == "MatMul" and product_of_two(low, node)
    return products.matmul(FLOATS, low, fused)


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


def one_chain(low: Lowering, x: TensorView, target: Target, w: Array, bias: Array, shape: Fields, group: int) -> None:
    """A float_conv2d instruction. target: of images. group: bytes from a group's channels of x to the next one's."""
    groups, oc = w.shape[:2]
    made = pieces(x, target, w.shape, shape, group)
    filled = np.zeros((groups, round_up(oc, low.packing.lanes)), np.float32)
    filled[:, :oc] = bias.reshape(groups, oc)
    constants = {"w": low.float_weights(w), "bias": low.constant(filled)}
    fields = {**made.fields, **{name: target.post[name] for name in NO_BOUNDS}}
    emit_product(low, {"x": made.x, "y": made.target.y}, constants, fields, made.target.residual)


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
