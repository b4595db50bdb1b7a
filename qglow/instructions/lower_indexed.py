"""Gather, Scatter and their kin by indices that come out of data: rows at places that a kernel reads and checks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ..graph import DType, Node
from .coalesce_dims import coalesce_dims, padded
from .lower_move import is_movable
from .program import TensorView, dense_strides
from .select import Lowering
from .table import SCATTER

MOST = 4  # indices of one row
INTEGERS = (DType.I64, DType.I32)
Axes = tuple[Sequence[int], Sequence[int]]  # sizes and steps in bytes of the axes that indices count along


def gather(low: Lowering, node: Node) -> bool:
    """x [before, axis, behind] at an index -> [before, index, behind]."""
    x = low.type(node.inputs[0]).static_shape
    axis = int(node.attr("axis")) % max(1, len(x))
    behind = prod(x[axis + 1 :])
    taken = low.type(node.inputs[1]).static_shape
    shape = (prod(x[:axis]), prod(taken), behind)
    return _gathered(low, node, shape, ((x[axis],), (behind,)), (x[axis] * behind, 0), (0, 1))


def gather_nd(low: Lowering, node: Node) -> bool:
    x, taken = (low.type(v).static_shape for v in node.inputs)
    if node.attr("batch_dims") or not taken or not 1 <= taken[-1] <= MOST:
        return False
    depth = taken[-1]
    steps = dense_strides(x, 1)[:depth]
    return _gathered(low, node, (1, prod(taken[:-1]), prod(x[depth:])), (x[:depth], steps), (0, 0), (0, depth))


def _gathered(
    low: Lowering, node: Node, shape: tuple[int, int, int], axes: Axes, x_steps: tuple[int, int],
    i_steps: tuple[int, int],
) -> bool:  # fmt: skip
    """shape: of y as rows [N, W, C]; steps are in elements."""
    if not _is_ready(low, node):
        return False
    (n, w, c), (sizes, steps) = shape, axes
    source, item = low.dense_of(node.inputs[0]), low.places[node.inputs[0]].itemsize
    index = low.dense_of(node.inputs[1])
    fields = _fields(n, 1, w, c * item, sizes, [s * item for s in steps], index.itemsize)
    fields |= dict(zip(("x_n", "x_h", "x_w"), (x_steps[0] * item, 0, x_steps[1] * item), strict=True))
    fields |= dict(zip(("i_n", "i_h", "i_w"), (i_steps[0] * index.itemsize, 0, i_steps[1] * index.itemsize),
                       strict=True))  # fmt: skip
    fields |= {"y_n": w * c * item, "y_h": 0, "y_w": c * item}
    _emitted(low, node, "gather", {"x": source, "index": index}, fields)
    return True


def gather_elements(low: Lowering, node: Node) -> bool:
    x, taken = (low.type(v).static_shape for v in node.inputs)
    if not _is_ready(low, node) or not x:
        return False
    axis = int(node.attr("axis")) % len(x)
    if any(i > d for k, (i, d) in enumerate(zip(taken, x, strict=True)) if k != axis):
        return False
    source, index = low.dense_of(node.inputs[0]), low.dense_of(node.inputs[1])
    found = _beside(source, index.strides, axis, dense_strides(taken, source.itemsize), taken)
    if found is None:
        return False
    loops, step = found
    fields = _fields(loops["N"], loops["H"], loops["W"], source.itemsize, (x[axis],), (step,), index.itemsize)
    fields |= {k: v for k, v in loops.items() if k[1:] in ("_n", "_h", "_w")}
    _emitted(low, node, "gather", {"x": source, "index": index}, fields)
    return True


def scatter_elements(low: Lowering, node: Node) -> bool:
    x, taken = (low.type(v).static_shape for v in node.inputs[:2])
    if not _is_ready(low, node) or not x or not _combines(low, node):
        return False
    axis = int(node.attr("axis")) % len(x)
    if low.type(node.inputs[2]).static_shape != taken or any(
        i > d for k, (i, d) in enumerate(zip(taken, x, strict=True)) if k != axis
    ):
        return False
    source, index, update = (low.dense_of(v) for v in node.inputs)
    found = _beside(source, index.strides, axis, update.strides, taken)
    if found is None:
        return False
    (loops, step), names = found, {"x": "y", "y": "u", "i": "i"}
    fields = _fields(loops["N"], loops["H"], loops["W"], source.itemsize, (x[axis],), (step,), index.itemsize)
    fields |= {names[k[0]] + k[1:]: v for k, v in loops.items() if k[1:] in ("_n", "_h", "_w")}
    return _scattered(low, node, source, index, update, fields)


def scatter_nd(low: Lowering, node: Node) -> bool:
    x, taken, given = (low.type(v).static_shape for v in node.inputs)
    if not _is_ready(low, node) or not _combines(low, node) or not taken or not 1 <= taken[-1] <= min(MOST, len(x)):
        return False
    depth, count = taken[-1], prod(taken[:-1])
    if given != (*taken[:-1], *x[depth:]):
        return False
    source, index, update = (low.dense_of(v) for v in node.inputs)
    row = prod(x[depth:]) * source.itemsize
    fields = _fields(1, 1, count, row, x[:depth], dense_strides(x, source.itemsize)[:depth], index.itemsize)
    fields |= dict.fromkeys(("y_n", "y_h", "y_w", "i_n", "i_h", "u_n", "u_h"), 0)
    fields |= {"i_w": depth * index.itemsize, "u_w": row}
    return _scattered(low, node, source, index, update, fields)


def _is_ready(low: Lowering, node: Node) -> bool:
    """Whether all operands have places and elements, and the indices are integers of a kind that kernels read."""
    named = [v for v in node.inputs if v]
    return (
        is_movable(low, *named)
        and low.type(node.inputs[1]).dtype in INTEGERS
        and all(0 not in low.type(v).static_shape for v in (*named, node.outputs[0]))
    )


def _combines(low: Lowering, node: Node) -> bool:
    """Whether the reduction is one of floats, or none."""
    floats = all(low.type(v).dtype is DType.F32 for v in (node.inputs[0], node.inputs[2]))
    same = low.type(node.inputs[0]).dtype is low.type(node.inputs[2]).dtype
    return node.attr("reduction") == "none" and same or floats


def _fields(
    n: int, h: int, w: int, c: int, sizes: Sequence[int], steps: Sequence[int], item: int
) -> dict[str, int | float]:
    fields: dict[str, int | float] = {"N": n, "H": h, "W": w, "C": c, "K": len(sizes), "index_item": item}
    rest = MOST - len(sizes)
    fields |= {f"S{k}": d for k, d in enumerate((*sizes, *[1] * rest))}
    return fields | {f"t{k}": s for k, s in enumerate((*steps, *[0] * rest))}


def _beside(
    counted: TensorView, index: Sequence[int], axis: int, y: Sequence[int], shape: Sequence[int]
) -> tuple[dict[str, int], int] | None:
    """Loops over the elements of an index, in its order, as fields of three operands: the index, what is as large as
    it, `y`, and what it counts in, `x`; and the step along its axis."""
    steps = [0 if k == axis else s for k, s in enumerate(counted.strides)]
    loops = padded(coalesce_dims(shape, [tuple(index), tuple(y), tuple(steps)]), 3, 3)
    if loops is None:
        return None
    fields = dict(zip("NHW", (d for d, _ in loops), strict=True))
    for name, (_, found) in zip("nhw", loops, strict=True):
        fields |= {f"{operand}_{name}": s for operand, s in zip("iyx", found, strict=True)}
    return fields, counted.strides[axis]


def _scattered(
    low: Lowering, node: Node, x: TensorView, index: TensorView, update: TensorView, fields: dict[str, int | float]
) -> bool:
    fields |= {"op": SCATTER.index(str(node.attr("reduction"))), "T": prod(x.shape) * x.itemsize}
    _emitted(low, node, "scatter", {"x": x, "index": index, "update": update}, fields)
    return True


def _emitted(
    low: Lowering, node: Node, kind: str, operands: dict[str, TensorView], fields: dict[str, int | float]
) -> None:
    """The instruction to a dense output, which is moved where it has to lie."""
    y = low.place(node.outputs[0], channels_last=False)
    made = y if y.is_dense else low.dense(y.shape, y.dtype)
    low.emit(kind, {**operands, "y": made, "fault": None}, {}, fields)
    if made is not y:
        low.move(made, y)
