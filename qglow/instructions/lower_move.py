"""Ops that only move data: views where strides allow, copies where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..graph import DType, Node
from ..reference.float_shape import pad_widths, slice_index, split_sizes
from .layout import NO_HALO
from .program import CONSTANTS, TensorView, dense_strides
from .select import Lowering


def constants_of(low: Lowering, node: Node) -> list[np.ndarray | None]:
    return [low.graph.constants.get(i) if i else None for i in node.inputs]


def is_movable(low: Lowering, *names: str) -> bool:
    """Whether all values have places; constants that something moves are given theirs here."""
    for n in names:
        if n in low.graph.constants and n not in low.places and low.type(n).dtype is not DType.STRING:
            low.constant_place(n, low.graph.constants[n])
    return all(n in low.places and low.type(n).dtype is not DType.STRING for n in names)


@contextmanager
def apart(low: Lowering, name: str, channels_last: bool | None = None) -> Iterator[TensorView]:
    """The place of a value whose rule fills a buffer, or rows one behind the other: one of its own, from which it is
    copied behind, where its place is within a concatenation's."""
    if name not in low.concat_slots:
        yield low.place(name, channels_last)
        return
    t = low.type(name)
    own = low.dense(t.static_shape, t.dtype.numpy.str)
    yield own
    low.move(own, low.place(name))


def concat(low: Lowering, node: Node) -> bool:
    out = node.outputs[0]
    if not is_movable(low, *node.inputs) or any(low.type(v).dtype is not low.type(out).dtype for v in node.inputs):
        return False
    y = low.place(out)
    axis, at = int(node.attr("axis")) % len(y.shape), 0
    for v in node.inputs:
        size = low.type(v).static_shape[axis]
        if low.concat_slots.get(v) != (out, axis, at) and size:
            low.move(low.places[v], y.part(axis, at, size))
        at += size
    return True


def slice_(low: Lowering, node: Node) -> bool:
    if not is_movable(low, node.inputs[0]):
        return False
    place = low.places[node.inputs[0]]
    if any(c is None for c, i in zip(constants_of(low, node)[1:], node.inputs[1:], strict=True) if i):
        return False
    index = slice_index(place.shape, constants_of(low, node))
    shape = low.type(node.outputs[0]).static_shape
    view = place
    for k, (s, d) in enumerate(zip(index, place.shape, strict=True)):
        first, _, step = s.indices(d)
        if step < 0:
            return False
        view = view.part(k, first, shape[k], step)
    return bind_view(low, node, view)


def split(low: Lowering, node: Node) -> bool:
    if not is_movable(low, node.inputs[0]):
        return False
    place = low.places[node.inputs[0]]
    axis, at = int(node.attr("axis")) % len(place.shape), 0
    for name, size in zip(
        node.outputs, split_sizes(node, place.shape[axis], low.graph.constants.get(node.input(1))), strict=True
    ):
        if name:
            low.places[name] = place.part(axis, at, size)
        at += size
    return True


def transpose(low: Lowering, node: Node) -> bool:
    if not is_movable(low, node.inputs[0]):
        return False
    place = low.places[node.inputs[0]]
    perm = node.attr("perm") or tuple(reversed(range(len(place.shape))))
    return bind_view(
        low,
        node,
        place._replace(
            shape=tuple(place.shape[p] for p in perm), strides=tuple(place.strides[p] for p in perm), halo=NO_HALO
        ),
    )


def expand(low: Lowering, node: Node) -> bool:
    """A repeated dimension is one with a stride of 0."""
    if not is_movable(low, node.inputs[0]):
        return False
    place, shape = low.places[node.inputs[0]], low.type(node.outputs[0]).static_shape
    missing = len(shape) - len(place.shape)
    strides = (0,) * missing + tuple(0 if d == 1 else s for d, s in zip(place.shape, place.strides, strict=True))
    return bind_view(low, node, place._replace(shape=shape, strides=strides, halo=NO_HALO))


def tile(low: Lowering, node: Node) -> bool:
    """One copy over twice as many dimensions: each of the output's is a repeat, of a stride of 0 in the input, and one
    of the input's."""
    repeats = low.graph.constants.get(node.inputs[1])
    if repeats is None or not is_movable(low, node.inputs[0]) or 0 in low.type(node.outputs[0]).static_shape:
        return False
    x, y = low.places[node.inputs[0]], low.place(node.outputs[0])
    shape, of_x, of_y = list[int](), list[int](), list[int]()
    for times, size, read, written in zip(map(int, repeats), x.shape, x.strides, y.strides, strict=True):
        shape, of_x, of_y = [*shape, times, size], [*of_x, 0, read], [*of_y, size * written, written]
    low.move(
        x._replace(shape=(*shape,), strides=(*of_x,), halo=NO_HALO),
        y._replace(shape=(*shape,), strides=(*of_y,), halo=NO_HALO),
    )
    return True


def reshape(low: Lowering, node: Node) -> bool:
    """A view where numpy can make one without a copy, else a view of a dense copy."""
    if not is_movable(low, node.inputs[0]):
        return False
    shape = low.type(node.outputs[0]).static_shape
    view = reshaped(low.places[node.inputs[0]], shape)
    if view is None:
        view = reshaped(low.dense_of(node.inputs[0]), shape)
        assert view is not None
    return bind_view(low, node, view)


def reshaped(place: TensorView, shape: tuple[int, ...]) -> TensorView | None:
    """The place in another shape, of as many elements; None where no strides give that."""
    strides = reshaped_strides(place.shape, place.strides, shape, place.itemsize)
    return None if strides is None else place._replace(shape=shape, strides=strides, halo=NO_HALO)


def reshaped_strides(
    shape: tuple[int, ...], strides: tuple[int, ...], target: tuple[int, ...], item: int
) -> tuple[int, ...] | None:
    """Strides by which the elements in order have the target's shape. NOTE: numpy would copy, that is read, what it
    cannot view."""
    if 0 in shape:
        return dense_strides(target, item)
    old = [(d, s) for d, s in zip(shape, strides, strict=True) if d != 1]
    made: list[int] = []
    while old:
        (size, step), first = old.pop(0), len(made)
        count = 1
        while count != size:
            if count < size:
                count *= target[len(made)]
                made.append(0)
            else:
                (d, s) = old.pop(0)
                if step != d * s:
                    return None
                size, step = size * d, s
        for k in reversed(range(first, len(made))):
            made[k], step = step, step * target[k]
    return (*made, *[item] * (len(target) - len(made)))


def bind_view(low: Lowering, node: Node, view: TensorView) -> bool:
    """Take a view as the value's place."""
    low.places[node.outputs[0]] = view
    return True


def pad(low: Lowering, node: Node) -> bool:
    inputs = constants_of(low, node)
    if not is_movable(low, node.inputs[0]) or any(
        c is None for c, i in zip(inputs[1:], node.inputs[1:], strict=True) if i
    ):
        return False
    x = low.places[node.inputs[0]]
    widths = pad_widths(len(x.shape), inputs)
    if any(b < 0 or e < 0 for b, e in widths):
        return False
    mode = str(node.attr("mode"))
    if mode == "constant":
        return constant_pad(low, node, x, widths, inputs[2] if len(inputs) > 2 else None)
    return mirrored_pad(low, node, x, widths, mode)


def constant_pad(
    low: Lowering, node: Node, x: TensorView, widths: list[tuple[int, int]], value: np.ndarray | None
) -> bool:
    """The whole output filled, then the input copied into it. Where a value has several bytes, the parts beside the
    input are filled one by one."""
    fill = np.asarray(0 if value is None else value).reshape(-1)[:1].astype(x.dtype).view(np.uint8)
    with apart(low, node.outputs[0]) as y:
        if any(y.halo) and fill.tobytes() != np.array(low.zero(node.outputs[0]), y.dtype).tobytes():
            return False
        inside, at_once = y, len({*fill.tolist()}) == 1
        if at_once:
            buffer, size = TensorView(y.buffer, 0, (low.room(y),), (1,), "|u1"), low.room(y)
            low.emit("fill", {"y": buffer}, {}, {"C": size, "value": int(fill[0])})
        for k, (b, e) in enumerate(widths):
            for start, count in () if at_once else ((0, b), (b + x.shape[k], e)):
                if count:
                    part = inside.part(k, start, count)
                    none = (0,) * len(part.shape)
                    low.move(TensorView(CONSTANTS, low.keep(fill.tobytes()), part.shape, none, y.dtype), part)
            inside = inside.part(k, b, x.shape[k])
        low.move(x, inside)
    return True


def mirrored_pad(low: Lowering, node: Node, x: TensorView, widths: list[tuple[int, int]], mode: str) -> bool:
    """One axis after another: the input, and what lies beside it as views of the input, backwards or standing still."""
    axes = [k for k, w in enumerate(widths) if any(w)]
    most = {"reflect": -1, "wrap": 0, "edge": 1 << 31}.get(mode)
    if not axes or most is None or any(max(widths[k]) > x.shape[k] + most for k in axes):
        return False
    y = low.place(node.outputs[0])
    for k in axes:
        (before, after), size = widths[k], x.shape[k]
        wide = y if k == axes[-1] else low.dense((*x.shape[:k], before + size + after, *x.shape[k + 1 :]), x.dtype)
        ends = {"reflect": (before, size - 2, -1), "wrap": (size - before, 0, 1), "edge": (0, size - 1, 0)}
        first, last, step = ends[mode]
        low.move(x, wide.part(k, before, size))
        for at, count, start in ((0, before, first), (before + size, after, last)):
            if count:
                low.move(x.part(k, start, count, step), wide.part(k, at, count))
        x = wide
    return True


def blocks(low: Lowering, node: Node) -> bool:
    """Six dimensions, exchanged (ONNX DepthToSpace-13, SpaceToDepth-13)."""
    if not is_movable(low, node.inputs[0]):
        return False
    x, size = low.places[node.inputs[0]], int(node.attr("blocksize"))
    out = low.type(node.outputs[0]).static_shape
    if node.op == "DepthToSpace":
        n, c, h, w = x.shape
        depth = c // size**2
        if node.attr("mode") == "CRD":
            split_shape, perm = (n, depth, size, size, h, w), (0, 1, 4, 2, 5, 3)
        else:
            split_shape, perm = (n, size, size, depth, h, w), (0, 3, 4, 1, 5, 2)
    else:
        n, c, h, w = x.shape
        split_shape, perm = (n, c, h // size, size, w // size, size), (0, 3, 5, 1, 2, 4)
    view = reshaped(x, split_shape) or reshaped(low.dense_of(node.inputs[0]), split_shape)
    assert view is not None
    turned = view._replace(
        shape=tuple(view.shape[p] for p in perm), strides=tuple(view.strides[p] for p in perm), halo=NO_HALO
    )
    y = low.place(node.outputs[0])
    target = reshaped(y, turned.shape)
    if target is None or any(y.halo):
        # NOTE: a border lies between the rows: go through a dense copy
        dense = low.dense(turned.shape, x.dtype)
        low.move(turned, dense)
        straight = reshaped(dense, out)
        assert straight is not None
        low.move(straight, y)
        return True
    low.move(turned, target)
    return True
