"""Float meaning of ops that choose elements: OneHot, Hardmax, Compress, Unique, NonMaxSuppression, ScatterElements."""

from __future__ import annotations

import numpy as np

from ..errors import ModelError
from ..graph import Array, Node
from .float_conv import given, optional


def one_hot(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Indices in [-depth, depth) turn `on` at a new axis; others leave it `off` throughout. values: [off, on]."""
    indices, depth, values = given(inputs, 0), int(given(inputs, 1).ravel()[0]), given(inputs, 2)
    if depth <= 0:
        raise ValueError(f"expected a depth of at least 1, got {depth}")
    axis = int(node.attr("axis"))
    axis = axis + indices.ndim + 1 if axis < 0 else axis
    integers = np.trunc(indices).astype(np.int64)
    places = np.where((integers >= -depth) & (integers < depth), integers % depth, -1)
    shape = [1] * (indices.ndim + 1)
    shape[axis] = depth
    return [np.where(np.expand_dims(places, axis) == np.arange(depth).reshape(shape), values[1], values[0])]


def hardmax(node: Node, inputs: list[Array | None]) -> list[Array]:
    """1 at the first maximum along an axis, 0 elsewhere."""
    x, axis = given(inputs, 0), int(node.attr("axis"))
    y = np.zeros_like(x)
    if x.size:
        np.put_along_axis(y, np.expand_dims(x.argmax(axis), axis), 1, axis)
    return [y]


def compress(node: Node, inputs: list[Array | None]) -> list[Array]:
    """The slices along an axis, or of all elements in a row, at which a condition holds; the condition may be shorter
    than the axis."""
    x, condition, axis = given(inputs, 0), given(inputs, 1), node.attr("axis")
    if axis is None:
        x, axis = x.ravel(), 0
    return [np.take(x, np.flatnonzero(condition), int(axis))]


def unique(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Unique slices along an axis (elements without one), sorted or in order of appearance; first places, inverse,
    counts."""
    x, axis = given(inputs, 0), node.attr("axis")
    x, axis = (x.ravel(), 0) if axis is None else (x, int(axis))
    _, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    inverse = inverse.ravel()
    if not node.attr("sorted"):
        order = np.argsort(first, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        first, counts, inverse = first[order], counts[order], place[inverse]
    return [np.take(x, first, axis), *(np.asarray(a, np.int64) for a in (first, inverse, counts))]


def non_max_suppression(node: Node, inputs: list[Array | None]) -> list[Array]:
    """[batch, class, box] of the boxes that are kept, int64 [kept, 3]; boxes [B, N, 4], scores [B, C, N].

    Of each batch and class: in order of falling scores above the threshold, boxes that overlap none that is kept by
    more than the threshold of intersection over union, at most so many.
    """
    boxes, scores = given(inputs, 0), given(inputs, 1)
    most, overlap, least = (_scalar(inputs, k) for k in (2, 3, 4))
    limit = 0 if most is None else int(most)
    return [kept_boxes(boxes, scores, bool(node.attr("center_point_box")), limit, np.float32(overlap or 0), least)]


def kept_boxes(
    boxes: Array, scores: Array, centers: bool, limit: int, overlap: np.float32, least: np.generic | None
) -> Array:
    """int64 [kept, 3]. centers: boxes are given by centre and size. least: the score that boxes must be above."""
    corners = _corners(boxes, centers)
    kept: list[tuple[int, int, int]] = []
    for b in range(scores.shape[0]):
        for c in range(scores.shape[1]):
            s = scores[b, c]
            candidates = np.flatnonzero(s > least) if least is not None else np.arange(len(s))
            order = candidates[np.argsort(-s[candidates], kind="stable")]
            kept += [(b, c, k) for k in _kept(corners[b], order, limit, overlap)]
    return np.array(kept, np.int64).reshape(-1, 3)


def bounded_suppression(node: Node, inputs: list[Array | None]) -> list[Array]:
    """The same for constant limits: all the rows that there may be, those not kept zero, and how many are kept."""
    found, scores = non_max_suppression(node, inputs)[0], given(inputs, 1)
    rows = np.zeros((most_kept(scores.shape, given(inputs, 2)), 3), np.int64)
    rows[: len(found)] = found
    return [rows, np.array([len(found)], np.int64)]


def most_kept(scores: tuple[int, ...], limit: Array) -> int:
    """Boxes that may be kept of scores [B, C, N]."""
    return scores[0] * scores[1] * min(scores[2], max(0, int(limit.ravel()[0])))


def first_rows(node: Node, inputs: list[Array | None]) -> list[Array]:
    """The first so many rows of x."""
    return [given(inputs, 0)[: int(given(inputs, 1).ravel()[0])]]


def _scalar(inputs: list[Array | None], k: int) -> np.generic | None:
    array = optional(inputs, k)
    return None if array is None or not array.size else array.ravel()[0]


def _corners(boxes: Array, centers: bool) -> Array:
    """[..., (low y, low x, high y, high x)] of boxes given by two opposite corners, or by centre and size."""
    if centers:
        x, y, w, h = (boxes[..., k] for k in range(4))
        half = boxes.dtype.type(2)
        return np.stack([y - h / half, x - w / half, y + h / half, x + w / half], -1)
    low, high = np.minimum(boxes[..., :2], boxes[..., 2:]), np.maximum(boxes[..., :2], boxes[..., 2:])
    return np.concatenate([low, high], -1)


def _kept(boxes: Array, order: Array, limit: int, threshold: np.float32) -> list[int]:
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while order.size and len(kept) < limit:
        best, order = int(order[0]), order[1:]
        kept.append(best)
        order = order[~(_overlaps(boxes, areas, best, order) > threshold)]
    return kept


def _overlaps(boxes: Array, areas: Array, a: int, others: Array) -> Array:
    """Intersection over union of a box with each of others, float32; 0 of boxes without an area."""
    low, high = np.maximum(boxes[a, :2], boxes[others, :2]), np.minimum(boxes[a, 2:], boxes[others, 2:])
    apart = (high <= low).any(-1) | (areas[a] <= 0) | (areas[others] <= 0)
    both = (high - low).prod(-1, dtype=boxes.dtype)
    with np.errstate(all="ignore"):
        found = (both / (areas[a] + areas[others] - both)).astype(np.float32)
    return np.where(apart, np.float32(0), found)


_REDUCTIONS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def scatter_elements(node: Node, inputs: list[Array | None]) -> list[Array]:
    """x with updates written, or reduced, at the places that indices say along an axis; of several at one place the
    last is written."""
    x, indices, updates = (given(inputs, k) for k in range(3))
    axis, reduction = int(node.attr("axis")) % max(1, x.ndim), node.attr("reduction")
    if indices.size and not -x.shape[axis] <= int(indices.min()) <= int(indices.max()) < x.shape[axis]:
        raise IndexError(f"indices from {indices.min()} to {indices.max()} of an axis of {x.shape[axis]}")
    y = x.copy()
    at: list[Array] = list(np.indices(indices.shape, sparse=True))
    at[axis] = np.where(indices < 0, indices + x.shape[axis], indices)
    if reduction == "none":
        y[tuple(at)] = updates
    elif reduction in _REDUCTIONS:
        _REDUCTIONS[reduction].at(y, tuple(at), updates)
    else:
        raise ModelError(f"node {node.name!r} ({node.operator}): reduction {reduction!r} is not supported")
    return [y]


def scatter_nd(node: Node, inputs: list[Array | None]) -> list[Array]:
    """x with rows of updates written, or reduced, at the places that the last axis of indices says; of several at one
    place the last is written."""
    x, indices, updates = (given(inputs, k) for k in range(3))
    depth, reduction = indices.shape[-1], node.attr("reduction")
    if updates.shape != (*indices.shape[:-1], *x.shape[depth:]) or not 1 <= depth <= x.ndim:
        raise ValueError(f"updates {list(updates.shape)} at indices {list(indices.shape)} of {list(x.shape)}")
    y, at = x.copy(), tuple(np.moveaxis(indices, -1, 0))
    if reduction == "none":
        y[at] = updates
    else:
        _REDUCTIONS[str(reduction)].at(y, at, updates)
    return [y]
