"""Bytes that the outputs of a node will take, known before they are computed.

The shapes of the outputs follow from those of the inputs and the elements of those that decide sizes, in time that does
not depend on either. An op without the trait GROWS writes no more than its inputs have.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ..graph import Array, Node
from ..ops.traits import CONVOLUTION, GROWS, PADDING, RESHAPE, VIEW
from .dims import Elements
from .shape_table import SHAPES
from .windows import Window


def bytes_made(node: Node, inputs: Elements) -> int:
    """Bytes that a node's outputs, and what it pads, take, as far as they may be more than its inputs do; 0 where they
    may not, and where its inputs do not fit, which the op itself will tell."""
    if node.op == "Gather":  # NOTE: the usual one on the host; its shape rule would take longer
        return _bytes_gathered(node, inputs)
    arrays = [a for a in inputs if isinstance(a, np.ndarray)]
    if not node.has(GROWS) and all(a.shape == arrays[0].shape or a.size == 1 for a in arrays[1:]):
        return sum(a.nbytes for a in arrays) if any(_stands_in(a) for a in arrays) else 0
    if node.has(VIEW) and not node.has(GROWS):
        return sum(a.nbytes for a in arrays) if node.has(RESHAPE) and any(_stands_in(a) for a in arrays) else 0
    shapes = [a.shape if isinstance(a, np.ndarray) else None for a in inputs]
    item = max((a.itemsize for a in arrays), default=8)
    try:
        if node.op == "NonZero":
            return 8 * len(arrays[0].shape) * arrays[0].size
        if node.op == "BlockwiseMatMul":  # NOTE: an item of its weights may hold several elements
            return arrays[0].size // max(1, arrays[0].shape[-1]) * arrays[1].shape[0] * arrays[0].itemsize
        made = SHAPES[node.op](node, shapes, inputs)
        elements = sum(prod(max(0, int(d)) for d in s or ()) for s in made)
        elements += padded_elements(node, shapes) if node.has(PADDING) else 0
    except Exception:  # NOTE: also ops whose shape depends on data, which write no more than they are given
        return 0
    return item * elements


def _bytes_gathered(node: Node, inputs: Elements) -> int:
    x, index = inputs[:2]
    if not isinstance(x, np.ndarray) or not isinstance(index, np.ndarray):
        return 0
    axis = int(node.attr("axis"))
    return x.itemsize * index.size * (x.size // max(1, x.shape[axis])) if -x.ndim <= axis < x.ndim else 0


def _stands_in(a: Array) -> bool:
    """Whether its elements are fewer than its shape says."""
    return a.size > 1 and 0 in a.strides


def padded_elements(node: Node, shapes: Sequence[tuple[int, ...] | None]) -> int:
    """Elements of the first input of a convolution or pool with what is padded to it."""
    x = shapes[0] or ()
    kernel = shapes[1][2:] if node.has(CONVOLUTION) and shapes[1] is not None else node.attr("kernel_shape")
    win = Window.of(node, x[2:], kernel)
    return prod((*x[:2], *(d + max(0, b) + max(0, e) for d, b, e in zip(x[2:], win.begin, win.end, strict=True))))
