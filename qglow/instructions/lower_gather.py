"""Gather, GatherElements and GatherND by constant indices that follow a rule: views, or copies of one.

An index that is a sum of a first one and a step along each of its dimensions makes the address such a sum too: the
elements of a causal mask, of a relative position, of a part of the tokens.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node
from .layout import NO_HALO
from .lower_move import bind_view, is_movable
from .program import TensorView
from .select import Lowering


def gather(low: Lowering, node: Node) -> bool:
    found = _operands(low, node)
    if found is None:
        return False
    place, indices = found
    axis = int(node.attr("axis")) % len(place.shape)
    sums = linear(normal(indices, place.shape[axis]))
    if sums is None:
        return False
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
        return False
    place, indices = found
    depth = indices.shape[-1]
    addresses: Array | None = np.zeros(indices.shape[:-1], np.int64)
    for k in range(depth):
        index = normal(indices[..., k], place.shape[k])
        addresses = None if addresses is None or index is None else addresses + index * place.strides[k]
    sums = linear(addresses)
    if sums is None:
        return False
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
        return False
    place, indices = found
    axis = int(node.attr("axis")) % len(place.shape)
    sums = linear(normal(indices, place.shape[axis]))
    if sums is None or any(i > d for k, (i, d) in enumerate(zip(indices.shape, place.shape, strict=True)) if k != axis):
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
