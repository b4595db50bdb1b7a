"""Output shapes of products, element-wise ops, normalizations, reductions and recurrent layers.

A shape rule is a function of a node, the shapes of its inputs and their elements, where these are known, to the shapes
of its outputs. Dimensions may be names (dims.py): what follows from sizes alone is a size, so that one rule serves a
graph whose shapes are all known and one where some are not. Raises Contradiction for operands that cannot belong to
each other, ValueError for what does not fit.
"""

from __future__ import annotations

from ..graph import Dim, Node, Shape
from ..graph.infer import Contradiction
from .dims import (
    OPEN,
    Elements,
    Shapes,
    agree,
    axis_attribute,
    axis_of,
    broadcast_shapes,
    first,
    integers,
    product,
    required,
)
from .recurrent_layer import GATES, activation_names, directions


def same(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    return [first(shapes)]


def along(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    """As `same`, of an op along an axis."""
    axis_attribute(node, max(1, len(first(shapes))))
    return [first(shapes)]


def normalized(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    """As `same`; every other operand has an element a channel."""
    x = first(shapes)
    if wrong := [s for s in shapes[1:] if s is not None and not agree(s, x[1:2])]:
        raise Contradiction(f"expected one element for each of {list(x[1:2])} channels, got {list(wrong[0])}")
    return [x]


def layer_norm(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    """y, and the mean and inverse deviation of each row."""
    x = first(shapes)
    at = axis_attribute(node, len(x))
    for s in shapes[1:3]:
        if s is not None and not _spreads(s, x):
            raise Contradiction(f"a gain or bias of {list(s)} for {list(x)}")
    rows = (*x[:at], *(1,) * (len(x) - at))
    return [x, rows, rows][: len(node.outputs)]


def broadcast(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    return [broadcast_shapes([s for s in shapes if s is not None])]


def gemm(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    a, b = first(shapes), required(shapes, 1)
    if len(a) != 2 or len(b) != 2:
        raise Contradiction(f"matrices of {len(a)} and {len(b)} dimensions")
    m, k = reversed(a) if node.attr("transA") else a
    k2, n = reversed(b) if node.attr("transB") else b
    if not agree((k,), (k2,)):
        raise Contradiction(f"inner sizes {k} and {k2} differ")
    if len(shapes) > 2 and shapes[2] is not None and not _spreads(shapes[2], (m, n)):
        raise Contradiction(f"a bias of {list(shapes[2])} for {[m, n]}")
    return [(m, n)]


def _spreads(shape: Shape, over: Shape) -> bool:
    """Whether a shape may broadcast to another one."""
    return len(shape) <= len(over) and all(
        d == 1 or agree((d,), (o,)) for d, o in zip(reversed(shape), reversed(over), strict=False)
    )


def matmul(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    a, b = first(shapes), required(shapes, 1)
    if not a or not b:
        raise Contradiction("a matrix without dimensions")
    left, right = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
    if not agree(left[-1:], right[-2:-1]):
        raise Contradiction(f"inner sizes {left[-1]} and {right[-2]} differ")
    rows = () if len(a) == 1 else (left[-2],)
    columns = () if len(b) == 1 else (right[-1],)
    return [(*broadcast_shapes([left[:-2], right[:-2]]), *rows, *columns)]


def blockwise(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, w = first(shapes), required(shapes, 1)
    if not x or len(w) != 2 or not agree(x[-1:], w[1:]):
        raise Contradiction(f"rows of {list(x)}, weights of {list(w)}")
    return [(*x[:-1], w[0])]


def reduce(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, listed = first(shapes), integers(elements, 1)
    if node.input(1) and listed is None:
        return [(OPEN,) * len(x) if node.attr("keepdims") else None]
    all_axes = () if node.attr("noop_with_empty_axes") else range(len(x))
    return [_without(node, x, {axis_of(a, len(x)) for a in listed} if listed else {*all_axes})]


def _without(node: Node, x: Shape, axes: set[int]) -> Shape:
    if node.attr("keepdims"):
        return tuple(1 if k in axes else d for k, d in enumerate(x))
    return tuple(d for k, d in enumerate(x) if k not in axes)


def arg_extreme(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x = first(shapes)
    axis = axis_attribute(node, len(x))
    if x[axis] == 0:
        raise ValueError("the axis is empty")
    return [_without(node, x, {axis})]


def top_k(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, k = first(shapes), integers(elements, 1)
    axis = axis_attribute(node, len(x))
    size, kept = x[axis], OPEN if k is None else k[0]
    if isinstance(kept, int) and not (kept >= 0 and (isinstance(size, str) or kept <= size)):
        raise ValueError(f"{kept} of {size} elements")
    return [(*x[:axis], kept, *x[axis + 1 :])] * 2


def recurrent(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    activation_names(node)
    x, sides = first(shapes), len(directions(node))
    hidden = _hidden(node, required(shapes, 2))
    rows, state = product((GATES[node.op], hidden)), (sides, x[1], hidden)
    wanted = {
        "w": (sides, rows, x[2]),
        "r": (sides, rows, hidden),
        "b": (sides, product((2, rows))),
        "sequence_lens": x[1:2],
    }
    wanted |= {"initial_h": state, "initial_c": state, "p": (sides, product((3, hidden)))}
    return _layer(node, shapes, wanted, state)


def quantized_lstm(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, sides = first(shapes), len(directions(node))
    hidden = _hidden(node, required(shapes, 2))
    rows, state = product((sides, GATES["LSTM"], hidden)), (sides, x[1], hidden)
    wanted = {"w": (rows, x[2]), "r": (rows, hidden), "b": (rows,), "initial_h": state, "initial_c": state}
    return _layer(node, shapes, wanted, state)


def _hidden(node: Node, r: Shape) -> Dim:
    """The size of the state."""
    given = node.attr("hidden_size")
    if given is not None and not agree((given,), r[-1:]):
        raise Contradiction(f"hidden_size {given!r}, recurrent weights of {list(r)}")
    return r[-1] if given is None else int(given)


def _layer(node: Node, shapes: Shapes, wanted: dict[str, Shape], state: Shape) -> Shapes:
    """All states, the last state, and the last cell. wanted: the shapes of the operands after x."""
    for (name, want), got in zip(wanted.items(), shapes[1:], strict=False):
        if got is not None and not agree(got, want):
            raise Contradiction(
                f"expected {name} of {list(want)} for direction {node.attr('direction')!r}, got {list(got)}"
            )
    return [(first(shapes)[0], *state), state, state][: len(node.outputs)]


def non_zero(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    return [(max(1, len(first(shapes))), OPEN)]


def compress(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x = first(shapes)
    return [(OPEN,) if node.attr("axis") is None else _opened(x, axis_attribute(node, len(x)))]


def unique(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    vector: Shape = (OPEN,)
    return [*compress(node, shapes, elements), vector, vector, vector][: len(node.outputs)]


def non_max_suppression(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    return [(OPEN, 3)]


def bounded_suppression(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    scores, limit = required(shapes, 1), integers(elements, 2)
    if limit is None or not all(isinstance(d, int) for d in scores):
        return [(OPEN, 3), (1,)]
    batches, classes, count = (int(d) for d in scores)
    return [(batches * classes * min(count, max(0, limit[0])), 3), (1,)]


def first_rows(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    return [(OPEN, *first(shapes)[1:])]


def _opened(x: Shape, axis: int) -> Shape:
    return (*x[:axis], OPEN, *x[axis + 1 :])


def sequence_mask(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    return [(int(node.attr("steps")), *first(shapes))]


def one_hot(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, depth = first(shapes), integers(elements, 1)
    size: Dim = OPEN if depth is None else depth[0]
    if isinstance(size, int) and size <= 0:
        raise ValueError(f"expected a depth of at least 1, got {size}")
    at = axis_attribute(node, len(x) + 1)
    return [(*x[:at], size, *x[at:])]
