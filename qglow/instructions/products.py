"""Convolutions, transposed ones and products of rows with constant weights, of whatever numbers: what they read and
write, and in which pieces. What depends on the numbers, weights and instructions, is a `Numbers`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from ..graph import Array, Node
from ..record import NamedTuple
from .coalesce_dims import coalesce_dims, padded
from .layout import NO_HALO, conv_halo, conv_window, window_fields
from .lower_weights import repeated_image, repeated_rows
from .phases import phase_products, tap_steps
from .program import TensorView
from .select import Lowering

Fields = dict[str, int | float]
ONE = np.ones(1, np.float32)
UNIT: Fields = dict.fromkeys(("KH", "KW", "SH", "SW", "DH", "DW"), 1)


class Target(NamedTuple):
    """Where a product's result goes, and what becomes of it on the way: the fields of the instruction that say so, what
    is added, and the table that it goes through."""

    y: TensorView
    post: Fields
    residual: TensorView | None = None
    table: Array | None = None

    def as_image(self) -> Target:
        """With the strides of the residual, which has the output's shape, filled in."""
        r = None if self.residual is None else self.residual.as_image()
        strides: Fields = {} if r is None else {"r_n": r.strides[0], "r_h": r.strides[2], "r_w": r.strides[3]}
        return Target(self.y.as_image(), self.post | strides, r, self.table)

    def swap_hw(self) -> Target:
        """Of images: rows as columns."""
        residual = None if self.residual is None else self.residual.swap_hw()
        return Target(self.y.swap_hw(), self.post, residual, self.table).as_image()


class Factors(NamedTuple):
    """w: [groups, OC, KH, KW, IC]; turned: with rows for columns; bias: [groups * OC], of integers less what the
    input's zero point adds; scale: float32 [groups * OC] or [1], of the sums. parts: how many numbers a weight is the
    sum of (lower_weights.py)."""

    w: Array
    turned: Array
    bias: Array
    scale: Array = ONE
    parts: int = 1


class Transposed(NamedTuple):
    """The same of a transposed convolution, w: [IC, OC of a group, KH, KW]; zero: the input's zero point, whose part is
    still to be taken from the bias [groups * OC] or [1]."""

    w: Array
    bias: Array
    scale: Array = ONE
    parts: int = 1
    zero: int = 0

    def of(self, kernel: Array) -> Factors:
        """Of the weights of one phase."""
        bias = np.broadcast_to(self.bias, (kernel.shape[0] * kernel.shape[1],))
        if self.zero:
            bias = bias - self.zero * kernel.astype(np.int64).sum((2, 3, 4)).reshape(-1)
        return Factors(kernel, kernel, bias, self.scale, self.parts)


class Numbers(Protocol):
    """What products of one kind of numbers are. Each may refuse: with None, or False."""

    def takes(self, low: Lowering, node: Node, after: list[Node]) -> bool:
        """Whether there are kernels of its dtypes, and of what follows it."""
        ...

    def of_conv(self, low: Lowering, node: Node) -> Factors | None: ...

    def of_transposed(self, low: Lowering, node: Node) -> Transposed | None: ...

    def of_rows(self, low: Lowering, node: Node) -> Factors | None: ...

    def target(self, low: Lowering, name: str, after: list[Node], image: bool) -> Target: ...

    def depthwise(
        self, low: Lowering, node: Node, x: TensorView, target: Target, factors: Factors, shape: Fields
    ) -> bool: ...

    def product(
        self, low: Lowering, node: Node, x: TensorView, target: Target, factors: Factors, shape: Fields
    ) -> bool: ...


def conv(numbers: Numbers, low: Lowering, fused: Node) -> bool:
    node, *after = low.parts(fused)
    if not numbers.takes(low, node, after) or low.type(node.inputs[0]).rank not in (3, 4):
        return False
    factors = numbers.of_conv(low, node)
    if factors is None:
        return False
    _, win = conv_window(low.graph, node)
    groups, parts = int(node.attr("group")), factors.parts
    depthwise = groups == low.type(node.inputs[0]).static_shape[1] == len(factors.bias)
    depthwise = depthwise and factors.w.shape[4] == parts
    x = repeated_image(low, node.inputs[0], 1 if depthwise else parts, groups, conv_halo(low.graph, node))
    target = numbers.target(low, fused.outputs[0], after, True).as_image()
    x = x._replace(start=x.start - win.begin[0] * x.strides[2] - win.begin[1] * x.strides[3])
    shape = window_fields(win)
    if is_column(target.y, win.kernel[1]):
        factors = factors._replace(w=factors.turned, turned=factors.w)
        x, target, shape = x.swap_hw(), target.swap_hw(), swap_hw(shape)
    if depthwise and numbers.depthwise(low, node, x, target, factors, shape):
        return True
    return numbers.product(low, node, x, target, factors, shape)


def is_column(y: TensorView, kernel_width: int) -> bool:
    """Whether a convolution is of rows of one pixel: on its side it is of one long row, which kernels take many pixels
    at a time of."""
    return kernel_width == 1 and y.shape[3] == 1 and y.shape[2] > 1


def swap_hw(shape: Fields) -> Fields:
    """A window's fields with rows for columns."""
    return {name[0] + ("W" if name[1] == "H" else "H"): value for name, value in shape.items()}


def pixels(w: Array, groups: int) -> Array:
    """[OC, IC of a group, KH, KW] as [groups, OC, KH, KW, IC]."""
    oc, ic, kh, kw = w.shape
    return w.reshape(groups, oc // groups, ic, kh, kw).transpose(0, 1, 3, 4, 2)


def as_image_weights(w: Array) -> Array:
    """Weights over a line as those over an image of one row."""
    return w[:, :, None] if w.ndim == 3 else w


def conv_transpose(numbers: Numbers, low: Lowering, fused: Node) -> bool:
    node, *after = low.parts(fused)
    if not numbers.takes(low, node, after) or low.type(node.inputs[0]).rank not in (3, 4):
        return False
    found = numbers.of_transposed(low, node)
    if found is None:
        return False
    groups, halo = int(node.attr("group")), conv_halo(low.graph, node)
    x = repeated_image(low, node.inputs[0], found.parts, groups, halo)
    target = numbers.target(low, fused.outputs[0], after, True).as_image()
    steps = dict(zip(("DH", "DW"), tap_steps(low.graph, node), strict=True))
    for corner, part, kernel in phase_products(low.graph, node, x, target.y, found.w):
        shape: Fields = {**UNIT, **steps, "KH": kernel.shape[2], "KW": kernel.shape[3]}
        numbers.product(low, node, corner, Target(part, target.post), found.of(kernel), shape)
    return True


def matmul(numbers: Numbers, low: Lowering, fused: Node) -> bool:
    node, *after = low.parts(fused)
    if not numbers.takes(low, node, after) or low.type(node.inputs[0]).rank in (None, 0, 1):
        return False
    factors = numbers.of_rows(low, node)
    return factors is not None and matmul_by(numbers, low, fused, after, factors)


def matmul_by(numbers: Numbers, low: Lowering, fused: Node, after: list[Node], factors: Factors) -> bool:
    """The product of a node's first input, of two dimensions or more, with weights, and what follows."""
    x = repeated_rows(low, fused.inputs[0], factors.parts)
    if not x.has_rows:
        x = low.dense_of(fused.inputs[0])
    target = numbers.target(low, fused.outputs[0], after, False)
    with row_images(low, target.y, x, target.residual) as (y, image_x, residual):
        rows = target._replace(y=y, residual=residual).as_image()
        return numbers.product(low, low.parts(fused)[0], image_x, rows, factors, UNIT)


def of_columns(w: Array) -> Array:
    """[K, N] as [1, N, 1, 1, K]."""
    return w.T[None, :, None, None, :]


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


def residual_of(low: Lowering, part: Node, image: bool) -> TensorView:
    """What a product's result is added to, lying as a product writes: its own place, or a copy."""
    (name,) = (v for v in part.inputs if v in low.places)
    if image:
        return low.image_of(name)
    return low.places[name] if low.places[name].has_rows else low.dense_of(name)


def image_fields(x: TensorView, y: TensorView) -> Fields:
    n, c, h, w = y.shape
    names = ("x_n", "x_h", "x_w", "y_n", "y_h", "y_w")
    strides = zip(names, (x.strides[0], *x.strides[2:], y.strides[0], *y.strides[2:]), strict=True)
    return {"N": n, "H": h, "W": w, "C": c, **dict(strides)}


class Pieces(NamedTuple):
    """A product over images: the operands, and the fields that say what it reads and writes. fused: whether a kernel
    row is one run of the input."""

    x: TensorView
    target: Target
    fused: bool
    fields: Fields


def pieces(x: TensorView, target: Target, w_shape: tuple[int, ...], shape: Fields, group: int) -> Pieces:
    """w_shape: of weights as in `Factors`. group: bytes from a group's channels of x to the next one's."""
    groups, oc, _, kw, ic = w_shape
    fused = kw == 1 or (x.strides[3] == x.itemsize * ic and shape["DW"] == 1)
    y, residual = target.y, target.residual
    if all(shape[k] == 1 for k in ("KH", "KW", "SH", "SW")):
        x, y, residual = flattened(x, y, residual)
        target = target._replace(y=y, residual=residual).as_image()
    runs: Fields = {"runs": 1, "run": kw * ic} if fused else {"runs": kw, "run": ic}
    sizes = {**image_fields(x, y), "C": oc, "G": groups, "x_c": group, "y_g": oc * y.itemsize}
    return Pieces(x, target, fused, {**sizes, **shape, **runs})


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
