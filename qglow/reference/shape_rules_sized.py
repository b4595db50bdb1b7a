"""Output shapes of ops that elements size, or that cut and join: as shape_rules.py, in time that does not depend on either."""

from __future__ import annotations

from math import ceil
from typing import cast

import numpy as np

from ..graph import Array, Node
from .float_shape import ints, pad_widths
from .windows import Window

Shape = tuple[int, ...]
Shapes = list[Shape | None]
Arrays = list[Array | None]


def _first(shapes: Shapes) -> Shape:
    return cast(Shape, shapes[0])


def _array(arrays: Arrays, k: int) -> Array:
    array = arrays[k] if k < len(arrays) else None
    if array is None:
        raise ValueError(f"input {k} is missing")
    return array


def _axis(node: Node, rank: int) -> int:
    axis = int(node.attr("axis"))
    if not -rank <= axis < rank:
        raise ValueError(f"there is no axis {axis} of {rank}")
    return axis % rank


def expand(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    return [np.broadcast_shapes(_first(shapes), tuple(ints(_array(arrays, 1))))]


def tile(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, repeats = _first(shapes), ints(_array(arrays, 1))
    rank = max(len(x), len(repeats))
    if any(r < 0 for r in repeats):
        raise ValueError(f"repeats {repeats}")
    wide, times = (1,) * (rank - len(x)) + x, [1] * (rank - len(repeats)) + repeats
    return [tuple(d * r for d, r in zip(wide, times, strict=True))]


def pad(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x = _first(shapes)
    widths = pad_widths(len(x), [None, *arrays[1:]])
    return [tuple(d + b + a for d, (b, a) in zip(x, widths, strict=True))]


def one_hot(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, depth = _first(shapes), int(_array(arrays, 1).ravel()[0])
    if depth <= 0:
        raise ValueError(f"expected a depth of at least 1, got {depth}")
    at = _axis(node, len(x) + 1)
    return [(*x[:at], depth, *x[at:])]


def constant_of_shape(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    return [tuple(ints(_array(arrays, 0)))]


def range_(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    start, stop, step = (_array(arrays, k).ravel()[0] for k in range(3))
    if start.dtype.kind == "f":
        return [(max(0, ceil((float(stop) - float(start)) / float(step))),)]
    a, b, c = int(start), int(stop), int(step)
    if not c:
        raise ValueError("a step of 0")
    return [(max(0, -(-(b - a) // c)),)]


def gather(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, at = _first(shapes), cast(Shape, shapes[1])
    axis = _axis(node, len(x))
    return [(*x[:axis], *at, *x[axis + 1 :])]


def concat(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, given = _first(shapes), [cast(Shape, s) for s in shapes]
    axis = _axis(node, len(x))
    if any(len(s) != len(x) or any(a != b for k, (a, b) in enumerate(zip(s, x, strict=True)) if k != axis) for s in given):
        raise ValueError(f"shapes {given[:8]} differ beside the axis {axis}")
    return [(*x[:axis], sum(s[axis] for s in given), *x[axis + 1 :])]


def depth_to_space(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    (n, c, h, w), b = _first(shapes), int(node.attr("blocksize"))
    if b < 1 or c % (b * b):
        raise ValueError(f"{c} channels and blocks of {b}")
    return [(n, c // (b * b), h * b, w * b)]


def space_to_depth(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    (n, c, h, w), b = _first(shapes), int(node.attr("blocksize"))
    if b < 1 or h % b or w % b:
        raise ValueError(f"{h} x {w} and blocks of {b}")
    return [(n, c * b * b, h // b, w // b)]


def arg_extreme(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x = _first(shapes)
    axis = _axis(node, len(x))
    if not x[axis]:
        raise ValueError("the axis is empty")
    return [(*x[:axis], *((1,) if node.attr("keepdims") else ()), *x[axis + 1 :])]


def top_k(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, k = _first(shapes), int(_array(arrays, 1).ravel()[0])
    axis = _axis(node, len(x))
    if not 0 <= k <= x[axis]:
        raise ValueError(f"{k} of {x[axis]} elements")
    return [(*x[:axis], k, *x[axis + 1 :])] * 2


def grid_sample(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, grid = _first(shapes), cast(Shape, shapes[1])
    return [(*x[:2], *grid[1:-1])]


def roi_align(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, rois = _first(shapes), cast(Shape, shapes[1])
    return [(rois[0], x[1], int(node.attr("output_height")), int(node.attr("output_width")))]


def max_roi_pool(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x, rois = _first(shapes), cast(Shape, shapes[1])
    return [(rois[0], x[1], *(int(d) for d in node.attr("pooled_shape")))]


def max_unpool(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x = _first(shapes)
    win = Window.of(node, x[2:], node.attr("kernel_shape"))
    sizes = zip(x[2:], win.strides, win.kernel, win.begin, win.end, strict=True)
    return [(*x[:2], *((d - 1) * s + k - b - e for d, s, k, b, e in sizes))]


def lp_pool(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x = _first(shapes)
    return [(*x[:2], *Window.of(node, x[2:], node.attr("kernel_shape")).out(x[2:], bool(node.attr("ceil_mode"))))]


def global_lp_pool(node: Node, shapes: Shapes, arrays: Arrays) -> list[Shape]:
    x = _first(shapes)
    return [(*x[:2], *(1,) * (len(x) - 2))]
