"""Gather, GatherElements and GatherND by constant indices: views, or copies of some; by others as lower_indexed.py has
it.

An index that is a sum of a first one and a step along each of its dimensions makes the address such a sum too: the
elements of a causal mask, of a relative position, of a part of the tokens. Of Gather and GatherND other indices are
a few such parts, one behind the other: the pairs of a triangle.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node
from . import lower_indexed
from .layout import NO_HALO
from .lower_move import bind_view, is_movable, reshaped
from .program import TensorView
from .select import Lowering

MOST_PARTS = 32  # copies that are worth more than a step on the host


def gather(low: Lowering, node: Node) -> bool:
    found = _operands(low, node)
    if found is None:
        return lower_indexed.gather(low, node)
    place, indices = found
    axis = int(node.attr("axis")) % len(place.shape)
    index = normal(indices, place.shape[axis])
    sums = linear(index)
    if index is None:
        return False
    if sums is None:
        parts = in_parts(low, node, place, index * place.strides[axis], axis, axis + 1)
        return parts or lower_indexed.gather(low, node)
    first, steps = sums
    if indices.ndim == 1 and (steps[0] > 0 or len(indices) == 1):
        return bind_view(low, node, place.part(axis, first, len(indices), steps[0] or 1))
    stride, before, after = place.strides[axis], slice(axis), slice(axis + 1, None)
    view = place._replace(
        start=place.start + first * stride,
        shape=(*place.shape[before], *indices.shape, *place.shape[after]),
        strides=(*place.strides[before], *(s * stride for s in steps), *place.strides[after]),
    )
    return _bound(low, node, view if indices.ndim == 0 else view._replace(halo=NO_HALO))


def gather_nd(low: Lowering, node: Node) -> bool:
    found = _operands(low, node)
    if found is None or node.attr("batch_dims"):
        return lower_indexed.gather_nd(low, node)
    place, indices = found
    depth = indices.shape[-1]
    addresses: Array | None = np.zeros(indices.shape[:-1], np.int64)
    for k in range(depth):
        index = normal(indices[..., k], place.shape[k])
        addresses = None if addresses is None or index is None else addresses + index * place.strides[k]
    sums = linear(addresses)
    if addresses is None:
        return False
    if sums is None:
        return in_parts(low, node, place, addresses, 0, depth) or lower_indexed.gather_nd(low, node)
    view = place._replace(
        start=place.start + sums[0],
        shape=(*indices.shape[:-1], *place.shape[depth:]),
        strides=(*sums[1], *place.strides[depth:]),
        halo=NO_HALO,
    )
    return _bound(low, node, view)


def gather_elements(low: Lowering, node: Node) -> bool:
    found = _operands(low, node)
    if found is None:
        return lower_indexed.gather_elements(low, node)
    place, indices = found
    axis = int(node.attr("axis")) % len(place.shape)
    sums = linear(normal(indices, place.shape[axis]))
    if sums is None:
        return lower_indexed.gather_elements(low, node)
    if any(i > d for k, (i, d) in enumerate(zip(indices.shape, place.shape, strict=True)) if k != axis):
        return False
    (first, steps), stride = sums, place.strides[axis]
    view = place._replace(
        start=place.start + first * stride,
        shape=indices.shape,
        strides=tuple(
            step * stride + (s if k != axis else 0)
            for k, (step, s) in enumerate(zip(steps, place.strides, strict=True))
        ),
        halo=NO_HALO,
    )
    return _bound(low, node, view)


def in_parts(low: Lowering, node: Node, place: TensorView, addresses: Array, first: int, end: int) -> bool:
    """Copies of parts that are as far apart as their first two elements. addresses: in bytes, of the indices that stand
    for the axes from `first` to `end`."""
    flat, parts, at = addresses.reshape(-1), list[tuple[int, int, int]](), 0
    while at < len(flat):
        steps = np.diff(flat[at:])
        size = 1 + int(np.argmax(np.append(steps, np.iinfo(np.int64).max) != (steps[0] if len(steps) else 0)))
        parts.append((at, size, int(steps[0]) if size > 1 else 0))
        at += size
        if len(parts) > MOST_PARTS:
            return low.refuse("its indices follow no rule")
    y = low.place(node.outputs[0], channels_last=False)
    rows = reshaped(y, (*place.shape[:first], len(flat), *place.shape[end:]))
    if rows is None:
        low.deallocate(node.outputs[0])
        return False
    for at, size, step in parts:
        view = place._replace(
            start=place.start + int(flat[at]),
            shape=(*place.shape[:first], size, *place.shape[end:]),
            strides=(*place.strides[:first], step, *place.strides[end:]),
            halo=NO_HALO,
        )
        low.move(view, rows.part(first, at, size))
    return True


def normal(indices: Array, size: int) -> Array | None:
    """Indices from 0 on; None where one is beyond the axis, which the host tells."""
    fit = bool(((indices >= -size) & (indices < size)).all())
    return np.where(indices < 0, indices + size, indices).astype(np.int64) if fit else None


def linear(indices: Array | None) -> tuple[int, tuple[int, ...]] | None:
    """The first element, and the step along each dimension that every other is from the one before; None where steps
    differ."""
    if indices is None:
        return None
    first = int(indices.flat[0])
    steps, made = [], np.full((1,) * indices.ndim, first)
    for k, size in enumerate(indices.shape):
        second = int(indices[tuple(int(j == k) for j in range(indices.ndim))]) if size > 1 else first
        steps.append(second - first)
        made = made + steps[-1] * np.arange(size).reshape([-1 if j == k else 1 for j in range(indices.ndim)])
    return (first, tuple(steps)) if np.array_equal(made, indices) else None


def _operands(low: Lowering, node: Node) -> tuple[TensorView, Array] | None:
    """The place that is read, and the constant indices."""
    indices = low.graph.constants.get(node.inputs[1])
    if indices is None or not indices.size or not is_movable(low, node.inputs[0]):
        return None
    return low.places[node.inputs[0]], indices


def _bound(low: Lowering, node: Node, view: TensorView) -> bool:
    """A view, or a copy of one that goes backwards or along several dimensions at once, which little can read."""
    steps = [s for s, d in zip(view.strides, view.shape, strict=True) if d > 1]
    if all(s >= 0 for s in steps) and len(set(steps)) == len(steps):
        return bind_view(low, node, view)
    low.move(view, low.place(node.outputs[0]))
    return True
