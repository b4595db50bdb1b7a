"""Output shapes of products, windows, reductions and element-wise ops, from the shapes of their inputs and the elements that size them."""

from __future__ import annotations

from typing import cast

import numpy as np

from ..graph import Array, Node
from ..graph.infer import Contradiction
from .float_conv import transposed_geometry
from .float_reduce import reduction_axes
from .float_resize import resize_geometry
from .recurrent_float import GATES, directions
from .windows import Window

Shapes = list[tuple[int, ...] | None]


def same(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    return [cast(tuple[int, ...], shapes[0])]


def along(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    """As `same`, of an op along an axis."""
    rank, axis = len(cast(tuple[int, ...], shapes[0])), int(node.attr("axis"))
    if not -rank <= axis < max(1, rank):
        raise Contradiction(f"axis {axis} of {rank} dimensions")
    return same(node, shapes, constants)


def normalized(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    """As `same`; every other operand has an element a channel."""
    x = cast(tuple[int, ...], shapes[0])
    if wrong := [s for s in shapes[1:] if s is not None and s != x[1:2]]:
        raise Contradiction(f"expected one element for each of {list(x[1:2])} channels, got {list(wrong[0])}")
    return same(node, shapes, constants)


def broadcast(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    return [np.broadcast_shapes(*(s for s in shapes if s is not None))]


def conv(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    x, w = shapes[0], shapes[1]
    if x is None or w is None:
        raise ValueError("an input is missing")
    groups = int(node.attr("group"))
    _check_ranks(x, w)
    if x[1] != w[1] * groups or w[0] % groups:
        raise Contradiction(f"{x[1]} channels, weights for {w[1] * groups}")
    _check_window(node, w[2:], shapes[2:], w[0])
    return [(x[0], w[0], *Window.of(node, x[2:], w[2:]).out(x[2:]))]


def _check_ranks(x: tuple[int, ...], w: tuple[int, ...]) -> None:
    if len(x) != len(w) or len(x) < 3:
        raise Contradiction(f"{len(x)} dimensions, weights of {len(w)}")


def _check_window(node: Node, kernel: tuple[int, ...], rest: Shapes, channels: int) -> None:
    """What a convolution says of its window is what its weights are, and a bias has an element a channel."""
    said = node.attr("kernel_shape")
    if said and tuple(said) != kernel:
        raise Contradiction(f"kernel_shape {list(said)}, weights of {list(kernel)}")
    if rest and rest[0] is not None and rest[0] != (channels,):
        raise Contradiction(f"a bias of {list(rest[0])} for {channels} channels")


def conv_transpose(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    x, w = shapes[0], shapes[1]
    if x is None or w is None:
        raise ValueError("an input is missing")
    _check_ranks(x, w)
    if x[1] != w[0]:
        raise Contradiction(f"{x[1]} channels, weights for {w[0]}")
    groups = int(node.attr("group"))
    if w[0] % groups:
        raise Contradiction(f"{w[0]} channels in {groups} groups")
    _check_window(node, w[2:], shapes[2:], w[1] * groups)
    return [(x[0], w[1] * int(node.attr("group")), *transposed_geometry(node, x[2:], w[2:])[1])]


def pool(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    x = cast(tuple[int, ...], shapes[0])
    return [(*x[:2], *Window.of(node, x[2:], node.attr("kernel_shape")).out(x[2:], bool(node.attr("ceil_mode"))))] * len(node.outputs)


def global_pool(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    x = cast(tuple[int, ...], shapes[0])
    return [(*x[:2], *(1,) * (len(x) - 2))]


def gemm(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    a, b = cast(tuple[int, ...], shapes[0]), cast(tuple[int, ...], shapes[1])
    if len(a) != 2 or len(b) != 2:
        raise Contradiction(f"matrices of {len(a)} and {len(b)} dimensions")
    m, k = reversed(a) if node.attr("transA") else a
    k2, n = reversed(b) if node.attr("transB") else b
    if k != k2:
        raise Contradiction(f"inner sizes {k} and {k2} differ")
    if len(shapes) > 2 and shapes[2] is not None and not _spreads(shapes[2], (m, n)):
        raise Contradiction(f"a bias of {list(shapes[2])} for {[m, n]}")
    return [(m, n)]


def _spreads(shape: tuple[int, ...], over: tuple[int, ...]) -> bool:
    """Whether a shape is broadcast to another one."""
    return len(shape) <= len(over) and all(d in (1, o) for d, o in zip(reversed(shape), reversed(over), strict=False))


def matmul(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    a, b = cast(tuple[int, ...], shapes[0]), cast(tuple[int, ...], shapes[1])
    if not a or not b:
        raise Contradiction("a matrix without dimensions")
    left, right = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
    if left[-1] != right[-2]:
        raise Contradiction(f"inner sizes {left[-1]} and {right[-2]} differ")
    rows = () if len(a) == 1 else (left[-2],)
    columns = () if len(b) == 1 else (right[-1],)
    return [(*np.broadcast_shapes(left[:-2], right[:-2]), *rows, *columns)]


def reduce(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    x = cast(tuple[int, ...], shapes[0])
    axes = reduction_axes(node, [np.empty(0), *constants[1:]], len(x))
    if node.attr("keepdims"):
        return [tuple(1 if k in axes else d for k, d in enumerate(x))]
    return [tuple(d for k, d in enumerate(x) if k not in axes)]


def resize(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    x = np.broadcast_to(np.zeros(()), cast(tuple[int, ...], shapes[0]))
    return [tuple(axis.out for axis in resize_geometry(node, [x, *constants[1:]]))]


def recurrent(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    x, sides = cast(tuple[int, ...], shapes[0]), len(directions(node))
    w, r = cast(tuple[int, ...], shapes[1]), cast(tuple[int, ...], shapes[2])
    hidden, rows = r[-1], GATES[node.op] * r[-1]
    if node.attr("hidden_size") not in (None, hidden):
        raise Contradiction(f"hidden_size {node.attr('hidden_size')!r}, recurrent weights of {list(r)}")
    state, flat = (sides, x[1], hidden), len(w) == 2  # NOTE: of bytes, w and r are matrices of the rows of all directions
    gates, bias = ((sides * rows,), (sides * rows,)) if flat else ((sides, rows), (sides, 2 * rows))
    wanted = {"w": (*gates, x[2]), "r": (*gates, hidden), "b": bias}
    wanted |= {} if flat else {"sequence_lens": x[1:2]}
    wanted |= {"initial_h": state, "initial_c": state, "p": (sides, 3 * hidden)}
    for (name, want), got in zip(wanted.items(), shapes[1:], strict=False):
        if got is not None and got != want:
            raise Contradiction(f"expected {name} of {list(want)} for direction {node.attr('direction')!r}, got {list(got)}")
    return [(x[0], *state), state, state][: len(node.outputs)]


def blockwise(node: Node, shapes: Shapes, constants: list[Array | None]) -> list[tuple[int, ...]]:
    x, w = shapes[0], shapes[1]
    if x is None or w is None:
        raise ValueError("an input is missing")
    if not x or len(w) != 2 or x[-1] != w[1]:
        raise Contradiction(f"rows of {list(x)}, weights of {list(w)}")
    return [(*x[:-1], w[0])]
