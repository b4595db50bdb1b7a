"""Float meaning of reductions and searches along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..graph import Array, Node
from . import float_math
from .float_conv import given, optional
from .float_table import FloatOp


def reduction_axes(node: Node, inputs: list[Array | None], rank: int) -> tuple[int, ...]:
    """The axes of a Reduce op (second input), all of them where none are given; empty for its no-op form."""
    axes = optional(inputs, 1)
    if axes is None or axes.size == 0:
        return () if node.attr("noop_with_empty_axes") else tuple(range(rank))
    return tuple(dict.fromkeys(normalize_axis_index(int(a), rank) for a in axes.ravel()))


def _of_nothing(x: Array, axes: tuple[int, ...], end: int) -> dict[str, Any]:
    """The extreme of no elements, where there are none: the least (end 0) or the largest (1) value that the dtype has,
    or an infinity."""
    if all(x.shape[a] for a in axes):
        return {}
    if x.dtype.kind == "f":
        return {"initial": (-np.inf, np.inf)[end]}
    limits = np.iinfo(x.dtype) if x.dtype.kind in "iu" else None
    return {"initial": (limits.min, limits.max)[end] if limits else bool(end)}


def _mean(x: Array, axes: tuple[int, ...], keep: bool) -> Array:
    """Of integers the exact sum's quotient, rounded towards zero; 0 of no elements."""
    if x.dtype.kind == "f":
        return np.asarray(x.mean(axes, keepdims=keep) if x.size else x.sum(axes, keepdims=keep))
    count = max(1, int(np.prod([x.shape[a] for a in axes])))
    wide = x.astype(np.int64)  # NOTE: the sum itself may leave int64, its quotient cannot
    quotients, rests = (wide // count).sum(axes, keepdims=keep), (wide % count).sum(axes, keepdims=keep)
    down = quotients + rests // count
    return np.asarray(down + ((down < 0) & (rests % count > 0)), x.dtype)


def _log_sum_exp(x: Array, axes: tuple[int, ...], keep: bool) -> Array:
    """Of integers by float64, rounded towards zero."""
    if x.dtype.kind != "f":
        return _log_sum_exp(x.astype(np.float64), axes, keep).astype(x.dtype)
    best = np.where(np.isfinite(best := x.max(axes, keepdims=True, initial=-np.inf)), best, x.dtype.type(0))
    y = float_math.log(np.asarray(float_math.exp(x - best).sum(axes, keepdims=True))) + best
    return np.asarray(y if keep else y.squeeze(axes))


Reduce = Callable[[Any, tuple[int, ...], bool], Array]


def _extreme(reduce: Reduce) -> FloatOp:
    """The float meaning of an op from a function of its input, its axes, and whether they are kept."""

    def run(node: Node, inputs: list[Array | None]) -> list[Array]:
        x = given(inputs, 0)
        return [np.asarray(reduce(x, reduction_axes(node, inputs, x.ndim), bool(node.attr("keepdims"))))]

    return run


def _sum(reduce: Reduce) -> FloatOp:
    """As `_extreme`, of a reduction that adds or multiplies."""

    def run(node: Node, inputs: list[Array | None]) -> list[Array]:
        x = given(inputs, 0)
        if x.dtype.kind in "iub" and x.dtype.itemsize < 4:
            raise ValueError(f"{node.op} of {x.dtype} is not defined: sums would wrap around")
        return _extreme(reduce)(node, inputs)

    return run


reduce_mean = _sum(_mean)
reduce_sum = _sum(lambda x, a, k: x.sum(a, keepdims=k, dtype=x.dtype))
reduce_max = _extreme(lambda x, a, k: x.max(a, keepdims=k, **_of_nothing(x, a, 0)))
reduce_min = _extreme(lambda x, a, k: x.min(a, keepdims=k, **_of_nothing(x, a, 1)))
reduce_prod = _sum(lambda x, a, k: x.prod(a, keepdims=k, dtype=x.dtype))
reduce_l1 = _sum(lambda x, a, k: np.abs(x).sum(a, keepdims=k, dtype=x.dtype))
reduce_l2 = _sum(lambda x, a, k: np.sqrt((x * x).sum(a, keepdims=k)).astype(x.dtype))
reduce_sum_square = _sum(lambda x, a, k: (x * x).sum(a, keepdims=k, dtype=x.dtype))
reduce_log_sum = _sum(lambda x, a, k: float_math.log(np.asarray(x.sum(a, keepdims=k, dtype=x.dtype))))
reduce_log_sum_exp = _sum(_log_sum_exp)


def arg_max(node: Node, inputs: list[Array | None]) -> list[Array]:
    return _place(node, given(inputs, 0), True)


def arg_min(node: Node, inputs: list[Array | None]) -> list[Array]:
    return _place(node, given(inputs, 0), False)


def _place(node: Node, x: Array, largest: bool) -> list[Array]:
    axis = int(node.attr("axis"))
    index = place_of_extreme(x, axis, largest, bool(node.attr("select_last_index")))
    return [np.asarray(np.expand_dims(index, axis) if node.attr("keepdims") else index, np.int64)]


def place_of_extreme(x: Array, axis: int, largest: bool, last: bool) -> Array:
    """The index of the largest element along an axis, or of the least: the first of equal ones, or the last.

    As in onnxruntime, what is not a number is passed over, unless it comes first: then nothing is found beyond it.
    """
    extreme = (np.fmax if largest else np.fmin).reduce(x, axis, keepdims=True)
    here: Array = x == extreme
    found: Array = x.shape[axis] - 1 - np.flip(here, axis).argmax(axis) if last else here.argmax(axis)
    first = x.take(0, axis)
    return np.where(first == first, found, 0)  # noqa: PLR0124


def top_k(node: Node, inputs: list[Array | None]) -> list[Array]:
    k = int(given(inputs, 1).ravel()[0])
    return list(largest_of(given(inputs, 0), k, int(node.attr("axis")), bool(node.attr("largest"))))


def largest_of(x: Array, k: int, axis: int, largest: bool) -> tuple[Array, Array]:
    """The k largest elements along an axis, or the least, and their places. The first of equal ones comes first; what
    is not a number is the largest."""
    if largest:  # NOTE: -x is no order of unsigned integers, nor of the least signed one
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis, kind="stable")
    order = order.take(range(k), axis)
    return np.take_along_axis(x, order, axis), order.astype(np.int64)


def cumulative_sum(node: Node, inputs: list[Array | None]) -> list[Array]:
    """One after the other from the first, floats in float64, each sum rounded; exclusive: each sum without its own
    element."""
    x, axis = given(inputs, 0), int(given(inputs, 1).ravel()[0])
    x = np.flip(x, axis) if node.attr("reverse") else x
    if node.attr("exclusive") and x.shape[axis]:
        first = np.zeros_like(x.take([0], axis))
        x = np.concatenate([first, x.take(range(x.shape[axis] - 1), axis)], axis)
    y = np.cumsum(x, axis, dtype=np.float64 if x.dtype.kind == "f" else x.dtype).astype(x.dtype)
    return [np.flip(y, axis) if node.attr("reverse") else y]
