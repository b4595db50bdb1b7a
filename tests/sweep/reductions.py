"""Reductions and searches along axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .case import Case, case, ints, normal, versions, whole

REDUCTIONS = (
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
    "ReduceLogSumExp",
    "ReduceLogSum",
)  # fmt: skip
AXES: list[tuple[tuple[int, ...], list[int] | None]] = [
    ((3, 4), None), ((3, 4), [0]), ((3, 4), [-1]), ((2, 3, 4), [1]), ((2, 3, 4), [1, 2]), ((2, 3, 4), [-2, 0]),
    ((2, 3, 4), [0, 1, 2]),
    ((2, 3, 4, 5), [2, 3]), ((2, 3, 4, 5), [1]), ((2, 3, 4, 5), [0, 2]), ((2, 3, 4, 5), [-1, -3]), ((5,), [0]),
    ((2, 1, 2, 3, 2), [1, 3]),
    ((40,), [0]), ((3, 33), [1]),
]  # fmt: skip


def old(op: str) -> int:
    """The first opset at which axes are an input."""
    return 13 if op == "ReduceSum" else 18


def reduce(op: str, x: Any, axes: list[int] | None, opset: int, **attributes: Any) -> Case:
    if axes is None:
        return case(op, x, opset=opset, **attributes)
    if opset < old(op):
        return case(op, x, opset=opset, axes=axes, **attributes)
    return case(op, x, ints(*axes), opset=opset, **attributes)


def reductions() -> Iterator[Case]:
    for op in REDUCTIONS:
        for opset in versions(op):
            for shape, axes in AXES if opset in (11, versions(op)[-1]) else AXES[:6]:
                if opset < 11 and axes is not None and min(axes) < 0:
                    continue
                x = np.abs(normal(*shape)) + np.float32(0.2) if op in ("ReduceProd", "ReduceLogSum") else normal(*shape)
                yield reduce(op, x, axes, opset)
                yield reduce(op, x, axes, opset, keepdims=0)
        yield reduce(op, np.abs(normal(3, 4)) + 1, [1], versions(op)[-1], keepdims=1)
        for noop in (0, 1):
            for keep in (0, 1):
                x = np.abs(normal(3, 4)) + np.float32(0.2)
                yield case(op, x, ints(), opset=old(op), noop_with_empty_axes=noop, keepdims=keep)
                yield case(op, x, opset=old(op), noop_with_empty_axes=noop, keepdims=keep)
        yield from other_types(op)


def other_types(op: str) -> Iterator[Case]:
    for dtype in (np.int32, np.int64, np.float64):
        if op in ("ReduceLogSumExp", "ReduceLogSum") and dtype is not np.float64:
            continue
        if dtype is np.int64 and op in ("ReduceL1", "ReduceL2"):
            continue
        x = whole(3, 4, low=1 if op == "ReduceLogSum" else -9, dtype=dtype)
        yield reduce(op, x, [1], versions(op)[-1], keepdims=0)
        yield reduce(op, x, [0], versions(op)[-1])
    if op in ("ReduceMax", "ReduceMin"):
        yield reduce(op, whole(3, 4, low=0, dtype=np.uint8), [0], 18)
        yield reduce(op, whole(3, 4, dtype=np.int8), [0], 18)


def searches() -> Iterator[Case]:
    for op in ("ArgMax", "ArgMin"):
        for opset in versions(op):
            for x in (normal(3, 4), whole(2, 3, 8, low=0, high=3).astype(np.float32)):
                yield case(op, x, opset=opset)
                for axis in range(-x.ndim if opset >= 11 else 0, x.ndim):
                    yield case(op, x, opset=opset, axis=axis)
                    yield case(op, x, opset=opset, axis=axis, keepdims=0)
                    if opset >= 12:
                        yield case(op, x, opset=opset, axis=axis, select_last_index=1)
                        yield case(op, x, opset=opset, axis=axis, select_last_index=1, keepdims=0)
        for dtype in (np.int8, np.uint8, np.int32, np.float64):
            yield case(op, whole(3, 8, low=0, high=4, dtype=dtype), opset=13, axis=1)
    yield from top_k()
    yield from sums_so_far()


def top_k() -> Iterator[Case]:
    for x in (normal(3, 8), whole(2, 3, 8, low=0, high=4).astype(np.float32)):
        for axis in (0, x.ndim - 1):
            yield case("TopK", x, opset=7, outputs=2, k=2, axis=axis)
            yield case("TopK", x, ints(2), opset=10, outputs=2, axis=axis)
        for opset in versions("TopK", 11, 23):
            yield case("TopK", x, ints(3), opset=opset, outputs=2)
            for axis in (0, 1, -1, -2):
                for largest in (0, 1):
                    yield case("TopK", x, ints(2), opset=opset, outputs=2, axis=axis, largest=largest)
                    yield case("TopK", x, ints(2), opset=opset, outputs=2, axis=axis, largest=largest, sorted=1)
    for dtype in (np.int32, np.int64, np.float64):
        yield case("TopK", whole(4, 9, dtype=dtype), ints(3), opset=11, outputs=2, axis=0)
        yield case("TopK", whole(4, 9, low=0, dtype=dtype), ints(9), opset=11, outputs=2, largest=0)


def sums_so_far() -> Iterator[Case]:
    for opset in versions("CumSum", 11):
        for axis in (0, 1, 2, -1, -2):
            for attributes in (
                {},
                {"exclusive": 1},
                {"reverse": 1},
                {"exclusive": 1, "reverse": 1},
                {"exclusive": 0, "reverse": 0},
            ):
                for dtype in (np.float32, np.int64) if axis == 1 else (np.float32,):
                    yield case("CumSum", whole(2, 3, 4).astype(dtype), ints(axis), opset=opset, **attributes)
    yield case("CumSum", normal(2, 3, 4), np.array(1, np.int64), opset=14, exclusive=1)
    for dtype in (np.int32, np.float64):
        yield case("CumSum", whole(2, 3, dtype=dtype), ints(0, dtype=np.int32), opset=14, reverse=1)


FAMILIES = (reductions, searches)
