"""Products of two tensors [..., M, K] x [..., K, N] as grouped products of rows, with numpy's broadcasting.

1. A vector is a matrix of one row (first operand) or of one column (second operand).
2. A batch dimension in which the second operand does not vary only adds rows: one packed matrix serves all of them.
3. Of the others the longest becomes the groups of an instruction; what is left is an instruction for each index.
"""

from __future__ import annotations

from ..record import NamedTuple
from .coalesce_dims import coalesce_dims, offsets, padded
from .program import TensorView

MOST_PARTS = 64  # instructions for one product; beyond it operands are copied, so that dimensions can be merged


class Rows(NamedTuple):
    """One instruction's rows: bytes to the first of y and a, and the fields N, H, W with their steps."""

    y: int
    a: int
    fields: dict[str, int | float]


class Group(NamedTuple):
    """So many matrices of b that are packed together, b_g bytes from one to the next, the first at b; and the rows that
    read them."""

    b: int
    matrices: int
    b_g: int
    rows: tuple[Rows, ...]


def as_matrices(y: TensorView, a: TensorView, b: TensorView) -> tuple[TensorView, TensorView, TensorView]:
    """The operands of numpy's matmul, each [..., rows, columns] with as many dimensions; repeated ones have a stride of
    0."""
    if len(a.shape) == 1:
        a = a._replace(shape=(1, *a.shape), strides=(0, *a.strides))
        at = len(y.shape) - (len(b.shape) > 1)
        y = y._replace(shape=(*y.shape[:at], 1, *y.shape[at:]), strides=(*y.strides[:at], 0, *y.strides[at:]))
    if len(b.shape) == 1:
        b = b._replace(shape=(*b.shape, 1), strides=(*b.strides, 0))
        y = y._replace(shape=(*y.shape, 1), strides=(*y.strides, y.itemsize))
    outer = y.shape[:-2]
    return y, _repeated(a, outer), _repeated(b, outer)


def _repeated(p: TensorView, outer: tuple[int, ...]) -> TensorView:
    missing = len(outer) + 2 - len(p.shape)
    own = zip(p.shape[:-2], p.strides[:-2], strict=True)
    strides = (*(0,) * missing, *(0 if d == 1 else s for d, s in own), *p.strides[-2:])
    return p._replace(shape=(*outer, *p.shape[-2:]), strides=strides)


def grouped(y: TensorView, a: TensorView, b: TensorView) -> list[Group] | None:
    """The instructions of a product, from `as_matrices`; None where they would be more than MOST_PARTS."""
    loops = coalesce_dims(y.shape[:-2], (y.strides[:-2], a.strides[:-2], b.strides[:-2]))
    varying = sorted((loop for loop in loops if loop[1][2]), key=lambda loop: loop[0])
    same = [loop for loop in loops if not loop[1][2]]
    rows = coalesce_dims(
        (*(d for d, _ in same), y.shape[-2]),
        ((*(s[0] for _, s in same), y.strides[-2]), (*(s[1] for _, s in same), a.strides[-2])),
    )
    apart, image = rows[: max(0, len(rows) - 3)], padded(rows[max(0, len(rows) - 3) :], 3, 2)
    count, (y_g, a_g, b_g) = varying.pop() if varying else (1, (0, 0, 0))
    parts = 1
    for d, _ in (*varying, *apart):
        parts *= d
    if parts > MOST_PARTS or image is None:
        return None
    (n, (y_n, a_n)), (h, (y_h, a_h)), (w, (y_w, a_w)) = image
    fields: dict[str, int | float] = {"N": n, "H": h, "W": w, "G": count, "x_n": a_n, "x_h": a_h, "x_w": a_w,
        "x_c": a_g,
                                      "y_n": y_n, "y_h": y_h, "y_w": y_w, "y_g": y_g}  # fmt: skip
    return [
        Group(
            at_b, count, b_g, tuple(Rows(at_y + more_y, at_a + more_a, fields) for more_y, more_a in offsets(apart, 2))
        )
        for at_y, at_a, at_b in offsets(varying, 3)
    ]
