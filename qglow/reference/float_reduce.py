"""Float meaning of reductions and searches along axes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import Array, Node
from .float_conv import given, optional
from .float_table import float_op


def reduction_axes(node: Node, inputs: list[Array | None], rank: int) -> tuple[int, ...]:
    """The axes of a Reduce op (second input), all of them where none are given; empty for its no-op form."""
    axes = optional(inputs, 1)
    if axes is None or axes.size == 0:
        return () if node.attr("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(int(a) % rank for a in axes.ravel())


_REDUCE: dict[str, Callable[[Array, tuple[int, ...], bool], Array]] = {
    "ReduceMean": lambda x, a, k: x.mean(a, keepdims=k).astype(x.dtype),  # type: ignore[call-overload]
    "ReduceSum": lambda x, a, k: x.sum(a, keepdims=k, dtype=x.dtype),  # type: ignore[call-overload]
    "ReduceMax": lambda x, a, k: x.max(a, keepdims=k),  # type: ignore[call-overload]
    "ReduceMin": lambda x, a, k: x.min(a, keepdims=k),  # type: ignore[call-overload]
    "ReduceProd": lambda x, a, k: x.prod(a, keepdims=k, dtype=x.dtype),  # type: ignore[call-overload]
    "ReduceL1": lambda x, a, k: np.abs(x).sum(a, keepdims=k, dtype=x.dtype),  # type: ignore[call-overload]
    "ReduceL2": lambda x, a, k: np.sqrt((x * x).sum(a, keepdims=k)).astype(x.dtype),  # type: ignore[call-overload]
    "ReduceSumSquare": lambda x, a, k: (x * x).sum(a, keepdims=k, dtype=x.dtype),  # type: ignore[call-overload]
    "ReduceLogSumExp": lambda x, a, k: np.asarray(np.logaddexp.reduce(x, a, keepdims=k)),  # type: ignore[call-overload]
}


def _reduce(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    return [np.asarray(_REDUCE[node.op](x, reduction_axes(node, inputs, x.ndim), bool(node.attr("keepdims", 1))))]


for _name in _REDUCE:
    float_op(_name)(_reduce)


@float_op("ArgMax", "ArgMin")
def arg_extreme(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, axis = given(inputs, 0), int(node.attr("axis", 0))
    find = np.argmax if node.op == "ArgMax" else np.argmin
    if node.attr("select_last_index", 0):
        index = x.shape[axis] - 1 - find(np.flip(x, axis), axis)
    else:
        index = find(x, axis)
    return [np.asarray(np.expand_dims(index, axis) if node.attr("keepdims", 1) else index, np.int64)]


@float_op("TopK")
def top_k(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, k, axis = given(inputs, 0), int(given(inputs, 1).ravel()[0]), int(node.attr("axis", -1))
    key = -x if node.attr("largest", 1) else x
    order = np.argsort(key, axis, kind="stable").take(range(k), axis)
    return [np.take_along_axis(x, order, axis), order.astype(np.int64)]


@float_op("CumSum")
def cumulative_sum(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, axis = given(inputs, 0), int(given(inputs, 1).ravel()[0])
    x = np.flip(x, axis) if node.attr("reverse", 0) else x
    y = np.cumsum(x, axis, dtype=x.dtype)
    y = y - x if node.attr("exclusive", 0) else y
    return [np.flip(y, axis) if node.attr("reverse", 0) else y]
