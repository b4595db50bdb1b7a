"""Shapes and dtypes of the outputs of ops that may make much of little, and of others that it would take time to evaluate on zeros.

A row says what the op's float meaning would give, from the shapes of the inputs and the elements of those that decide sizes, in time that
does not depend on either. Where an op has no row, here or among the rules of shapes.py, it writes no more than its inputs have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, prod
from typing import NamedTuple, cast

import numpy as np

from ..graph import Array, Node
from .float_shape import ints, pad_widths
from .shape_rules import RULES
from .windows import Window

Shape = tuple[int, ...]
Shapes = list[Shape | None]
Arrays = list[Array | None]
ShapesOf = Callable[[Node, Shapes, Arrays], list[Shape]]


class Growth(NamedTuple):
    """shapes: of the outputs. dtypes: of the outputs, each of that input (a number) or itself; the last holds for all that follow."""

    shapes: ShapesOf
    dtypes: tuple[int | type, ...] = (0,)

    def dtype(self, output: int, node: Node, inputs: Sequence[np.dtype[np.generic] | None]) -> np.dtype[np.generic]:
        if node.op == "ConstantOfShape":
            value = node.attr("value")
            return np.dtype(np.float32) if value is None else value.dtype
        if node.op == "Cast":
            return np.dtype(node.attr("to"))
        said = self.dtypes[min(output, len(self.dtypes) - 1)]
        found = inputs[said] if isinstance(said, int) else np.dtype(said)
        if found is None:
            raise ValueError(f"input {said} is missing")
        return found


def _first(shapes: Shapes) -> Shape:
    return cast(Shape, shapes[0])


def _array(arrays: Arrays, k: int) -> Array:
    array = arrays[k] if k < len(arrays) else None
    if array is None:
        raise ValueError(f"input {k} is missing")
    return array


def _axis(node: Node, rank: int, default: int) -> int:
    axis = int(node.attr("axis", default))
    if not -rank <= axis < rank:
        raise ValueError(f"there is no axis {axis} of {rank}")
    return axis % rank


def _same(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    return [_first(shapes)]


def _expand(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    return [np.broadcast_shapes(_first(shapes), tuple(ints(_array(arrays, 1))))]


def _tile(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, repeats = _first(shapes), ints(_array(arrays, 1))
    rank = max(len(x), len(repeats))
    if any(r < 0 for r in repeats):
        raise ValueError(f"repeats {repeats}")
    wide, times = (1,) * (rank - len(x)) + x, [1] * (rank - len(repeats)) + repeats
    return [tuple(d * r for d, r in zip(wide, times, strict=True))]


def _pad(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x = _first(shapes)
    widths = pad_widths(len(x), [None, *arrays[1:]])
    return [tuple(d + b + a for d, (b, a) in zip(x, widths, strict=True))]


def _one_hot(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, depth = _first(shapes), int(_array(arrays, 1).ravel()[0])
    if depth <= 0:
        raise ValueError(f"expected a depth of at least 1, got {depth}")
    at = _axis(node, len(x) + 1, -1)
    return [(*x[:at], depth, *x[at:])]


def _constant_of_shape(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    return [tuple(ints(_array(arrays, 0)))]


def _range(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    start, stop, step = (_array(arrays, k).ravel()[0] for k in range(3))
    if start.dtype.kind == "f":
        return [(max(0, ceil((float(stop) - float(start)) / float(step))),)]
    a, b, c = int(start), int(stop), int(step)
    if not c:
        raise ValueError("a step of 0")
    return [(max(0, -(-(b - a) // c)),)]


def _gather(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, at = _first(shapes), cast(Shape, shapes[1])
    axis = _axis(node, len(x), 0)
    return [(*x[:axis], *at, *x[axis + 1 :])]


def _concat(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, given = _first(shapes), [cast(Shape, s) for s in shapes]
    axis = _axis(node, len(x), 0)
    if any(len(s) != len(x) or any(a != b for k, (a, b) in enumerate(zip(s, x, strict=True)) if k != axis) for s in given):
        raise ValueError(f"shapes {given[:8]} differ beside the axis {axis}")
    return [(*x[:axis], sum(s[axis] for s in given), *x[axis + 1 :])]


def _depth_to_space(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    (n, c, h, w), b = _first(shapes), int(node.attr("blocksize"))
    if b < 1 or c % (b * b):
        raise ValueError(f"{c} channels and blocks of {b}")
    return [(n, c // (b * b), h * b, w * b)]


def _space_to_depth(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    (n, c, h, w), b = _first(shapes), int(node.attr("blocksize"))
    if b < 1 or h % b or w % b:
        raise ValueError(f"{h} x {w} and blocks of {b}")
    return [(n, c * b * b, h // b, w // b)]


def _arg_extreme(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x = _first(shapes)
    axis = _axis(node, len(x), 0)
    if not x[axis]:
        raise ValueError("the axis is empty")
    return [(*x[:axis], *((1,) if node.attr("keepdims", 1) else ()), *x[axis + 1 :])]


def _top_k(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, k = _first(shapes), int(_array(arrays, 1).ravel()[0])
    axis = _axis(node, len(x), -1)
    if not 0 <= k <= x[axis]:
        raise ValueError(f"{k} of {x[axis]} elements")
    return [(*x[:axis], k, *x[axis + 1 :])] * 2


def _grid_sample(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, grid = _first(shapes), cast(Shape, shapes[1])
    return [(*x[:2], *grid[1:-1])]


def _roi_align(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, rois = _first(shapes), cast(Shape, shapes[1])
    return [(rois[0], x[1], int(node.attr("output_height", 1)), int(node.attr("output_width", 1)))]


def _max_roi_pool(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, rois = _first(shapes), cast(Shape, shapes[1])
    return [(rois[0], x[1], *(int(d) for d in node.attr("pooled_shape")))]


def _max_unpool(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x = _first(shapes)
    win = Window.of(node, x[2:], node.attr("kernel_shape"))
    sizes = zip(x[2:], win.strides, win.kernel, win.begin, win.end, strict=True)
    return [(*x[:2], *((d - 1) * s + k - b - e for d, s, k, b, e in sizes))]


def _lp_pool(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x = _first(shapes)
    return [(*x[:2], *Window.of(node, x[2:], node.attr("kernel_shape")).out(x[2:], bool(node.attr("ceil_mode", 0))))]


def _global_lp_pool(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x = _first(shapes)
    return [(*x[:2], *(1,) * (len(x) - 2))]


GROWING: dict[str, Growth] = {
    "Expand": Growth(_expand), "Tile": Growth(_tile), "Pad": Growth(_pad), "OneHot": Growth(_one_hot, (2,)),
    "ConstantOfShape": Growth(_constant_of_shape), "Range": Growth(_range), "Gather": Growth(_gather), "Concat": Growth(_concat),
    "DepthToSpace": Growth(_depth_to_space), "SpaceToDepth": Growth(_space_to_depth), "TopK": Growth(_top_k, (0, np.int64)),
    **dict.fromkeys(("ArgMax", "ArgMin"), Growth(_arg_extreme, (np.int64,))),
    "GridSample": Growth(_grid_sample), "RoiAlign": Growth(_roi_align), "MaxRoiPool": Growth(_max_roi_pool),
    "MaxUnpool": Growth(_max_unpool), "LpPool": Growth(_lp_pool), "GlobalLpPool": Growth(_global_lp_pool),
    **dict.fromkeys(("Cast", "Hardmax", "LRN", "LpNormalization", "Trilu", "ScatterElements", "CumSum"), Growth(_same)),
    **dict.fromkeys(("Not", "IsNaN"), Growth(_same, (np.bool_,))),
}  # fmt: skip


_ROOMY = frozenset({"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"})  # they pad what they are given
_SUMS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "Gemm", "MatMul", "BlockwiseMatMul", "Resize", "LSTM", "GRU", "RNN")
GROWS = frozenset({
    *_SUMS, "Expand", "Tile", "Pad", "OneHot", "ConstantOfShape", "Range", "Gather", "Concat", "GridSample", "RoiAlign", "MaxRoiPool",
    "MaxUnpool", "LpPool", "NonZero", "GatherElements",
})  # fmt: skip


def bytes_made(node: Node, inputs: Arrays) -> int:
    """Bytes that a node's outputs, and what it pads, take, as far as they may be more than its inputs do; 0 where they may not, and
    where its inputs do not fit, which the op itself will tell."""
    arrays = [a for a in inputs if isinstance(a, np.ndarray)]
    if node.op not in GROWS and all(a.shape == arrays[0].shape or a.size == 1 for a in arrays[1:]):
        return sum(a.nbytes for a in arrays) if any(_stands_in(a) for a in arrays) else 0
    shapes: Shapes = [a.shape if isinstance(a, np.ndarray) else None for a in inputs]
    item = max((a.itemsize for a in arrays), default=8)
    try:
        if node.op == "NonZero":
            return 8 * len(arrays[0].shape) * arrays[0].size
        if node.op == "BlockwiseMatMul":  # NOTE: an item of its weights may hold several elements
            return arrays[0].size // max(1, arrays[0].shape[-1]) * arrays[1].shape[0] * arrays[0].itemsize
        if node.op == "GatherElements":
            return arrays[1].size * max(8, item)
        growth = GROWING.get(node.op)
        made = RULES[node.op](node, shapes, inputs) if growth is None else growth.shapes(node, shapes, inputs)
        padded = padded_elements(node, shapes) if node.op in _ROOMY else 0
    except Exception:  # NOTE: also ops without a rule, which write no more than they are given
        return 0
    return item * (padded + sum(prod(max(0, d) for d in s) for s in made))


def _stands_in(a: Array) -> bool:
    """Whether its elements are fewer than its shape says."""
    return a.size > 1 and 0 in a.strides


def padded_elements(node: Node, shapes: Shapes) -> int:
    """Elements of the first input of a convolution or pool with what is padded to it."""
    x = _first(shapes)
    kernel = shapes[1][2:] if node.op in ("Conv", "ConvTranspose") and shapes[1] is not None else node.attr("kernel_shape")
    win = Window.of(node, x[2:], kernel)
    return prod((*x[:2], *(d + max(0, b) + max(0, e) for d, b, e in zip(x[2:], win.begin, win.end, strict=True))))
