"""Ops that move, select or describe data."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from .case import Array, Case, Fixed, at_versions, case, ints, normal, scalar, truths, versions, whole

CUBE = normal(2, 3, 4)
TYPES = (np.float32, np.float64, np.float16, np.int8, np.uint8, np.int32, np.int64, np.bool_)


def shapes() -> Iterator[Case]:
    for target in ((6, 4), (0, -1), (-1,), (4, 3, 2), (0, 0, 2, 2), (1, -1, 1), (2, 0, 4)):
        yield from at_versions("Reshape", [CUBE, ints(*target)])
        yield case("Reshape", CUBE, np.array(target), opset=13)
    yield case("Reshape", normal(0, 3), ints(3, 0), opset=14, allowzero=1)
    yield case("Reshape", CUBE, ints(0, 12), opset=14, allowzero=0)
    yield case("Reshape", normal(1), Fixed(np.array([], np.int64)), opset=14)
    for opset in versions("Flatten"):
        yield case("Flatten", normal(2, 3, 4, 5), opset=opset)
        for axis in range(-4 if opset >= 11 else 0, 5):
            yield case("Flatten", normal(2, 3, 4, 5), opset=opset, axis=axis)
    yield case("Flatten", normal(5), opset=13, axis=0)
    for perm in permutations(range(3)):
        yield case("Transpose", CUBE, opset=13, perm=perm)
    for shape in ((), (5,), (2, 3), (2, 3, 4, 5)):
        yield case("Transpose", normal(*shape), opset=13)
    for perm in ((0, 2, 3, 1), (0, 3, 1, 2), (3, 0, 2, 1), (1, 0, 2, 3), (0, 1, 3, 2)):
        yield from at_versions("Transpose", [normal(2, 3, 4, 5)], perm=perm)
    yield from dimensions()
    yield from descriptions()
    for dtype in TYPES:
        typed = whole(2, 3, 4, low=0, dtype=dtype)
        yield case("Transpose", typed, opset=13, perm=(2, 0, 1))
        yield case("Reshape", typed, ints(4, 6), opset=13)
        yield case("Concat", typed, typed, opset=13, axis=1)
        yield case("Slice", typed, ints(1), ints(3), ints(2), opset=13)
        yield case("Gather", typed, ints(2, 0), opset=13, axis=1)
        yield case("Expand", typed[:, :1], ints(2, 3, 4), opset=13)
        yield case("Unsqueeze", typed, ints(1), opset=13)
        yield case("Identity", typed, opset=14)


def dimensions() -> Iterator[Case]:
    x = normal(1, 3, 1, 4, 1)
    for axes in ([0], [2], [0, 2], [0, 4], [-1], [-3, 0], [4, 2, 0]):
        for opset in versions("Squeeze"):
            if opset >= 13:
                yield case("Squeeze", x, ints(*axes), opset=opset)
            elif min(axes) >= 0 or opset >= 11:
                yield case("Squeeze", x, opset=opset, axes=axes)
    yield from at_versions("Squeeze", [x])
    for axes in ([0], [3], [0, 3], [1, 2], [-1], [-5, 2], [4, 0]):
        for opset in versions("Unsqueeze"):
            if opset >= 13:
                yield case("Unsqueeze", CUBE, ints(*axes), opset=opset)
            elif min(axes) >= 0 or opset >= 11:
                yield case("Unsqueeze", CUBE, opset=opset, axes=axes)
    yield case("Unsqueeze", normal(), ints(0), opset=13)


def descriptions() -> Iterator[Case]:
    x = normal(2, 3, 4, 5)
    yield from at_versions("Shape", [x])
    yield from at_versions("Size", [x])
    for attributes in (
        {"start": 1},
        {"end": 2},
        {"start": 1, "end": 3},
        {"start": -2},
        {"end": -1},
        {"start": -3, "end": -1},
        {"start": 3, "end": 1},
    ):
        yield from at_versions("Shape", [x], 15, **attributes)
    for start, stop, step in ((0, 10, 3), (10, 0, -3), (5, 5, 1), (0, 7, 1), (-3, 3, 2)):
        for dtype in (np.int64, np.int32, np.float32):
            yield case("Range", *(np.array(v, dtype) for v in (start, stop, step)), opset=11)
    yield case("Range", np.array(0.5, np.float32), np.array(3, np.float32), np.array(0.25, np.float32), opset=11)
    yield case("ConstantOfShape", np.array([2, 3]), opset=9)
    yield case("ConstantOfShape", ints(2, 3), opset=9)
    for value in (np.array([1.5], np.float32), np.array([7], np.int64), np.array([True])):
        for opset in versions("ConstantOfShape", 9):
            yield case("ConstantOfShape", np.array([2, 0, 3]), opset=opset, value=numpy_helper.from_array(value))
            yield case("ConstantOfShape", np.array([2, 3]), opset=opset, value=numpy_helper.from_array(value))
    for x in (whole(3, 4, low=0, high=2), truths(2, 3, 4), whole(5, low=0, high=2).astype(np.float32)):
        yield from at_versions("NonZero", [x], 9)
    for x in (np.array(2.0, np.float32), np.array(False)):
        yield case("NonZero", x, opset=13)


def parts() -> Iterator[Case]:
    for axis in (0, 1, 2, -1, -2):
        for opset in versions("Concat") if axis >= 0 else (11, 13):
            yield case("Concat", CUBE, normal(2, 3, 4, seed=1), opset=opset, axis=axis)
    yield case("Concat", normal(1, 3, 4, 4), Fixed(normal(1, 5, 4, 4)), normal(1, 2, 4, 4), opset=13, axis=1)
    yield case("Concat", CUBE, opset=13, axis=1)
    yield case("Concat", normal(2, 0), normal(2, 3), opset=13, axis=1)
    x = normal(6, 8, 3)
    for axis in (0, 1, -2):
        size = x.shape[axis]
        for opset in versions("Split"):
            if axis < 0 and opset < 11:
                continue
            new = {"num_outputs": 2} if opset >= 18 else {}
            yield case("Split", x, opset=opset, outputs=2, axis=axis, **new)
            sizes = [1, size - 3, 2]
            if opset < 13:
                yield case("Split", x, opset=opset, outputs=3, axis=axis, split=sizes)
            else:
                yield case("Split", x, ints(*sizes), opset=opset, outputs=3, axis=axis)
        yield case("Split", x, opset=18, outputs=3, axis=axis, num_outputs=3)
    yield case("Split", normal(7, 3), opset=18, outputs=3, num_outputs=3)
    yield case("Split", normal(10, 3), opset=18, outputs=4, num_outputs=4)
    yield case("Split", normal(6, 3), opset=13, outputs=3)
    yield case("Split", normal(3, 6), ints(1, 2), opset=13, outputs=2)
    yield from slices()
    yield from gathers()


def slices() -> Iterator[Case]:
    x = normal(5, 6, 7)
    for starts, ends, axes in (
        ([1], [4], [0]), ([0, 2], [3, 5], [0, 1]), ([-3], [-1], [2]), ([1], [1000], [1]),
        ([2, 1, 0], [4, 3, 7], None), ([3], [2], [0]),
        ([0], [-1], [1]), ([-100], [3], [0]), ([2, 1], [6, 3], [2, 0]), ([0], [9223372036854775807], [2]),
    ):  # fmt: skip
        old = {} if axes is None else {"axes": axes}
        yield case("Slice", x, opset=7, starts=starts, ends=ends, **old)
        for opset in versions("Slice", 10):
            yield case("Slice", x, ints(*starts), ints(*ends), *([] if axes is None else [ints(*axes)]), opset=opset)
            if axes is not None:
                yield case("Slice", x, ints(*starts), ints(*ends), ints(*axes), ints(*[2] * len(axes)), opset=opset)
        if axes is not None:
            yield case("Slice", x, *(np.array(v) for v in (starts, ends, axes)), opset=13)
            yield case("Slice", x, ints(*starts), ints(*ends), ints(*(a - 3 for a in axes)), opset=13)
    low = -(2**31)
    for starts, ends, axes, steps in (
        ([4], [0], [0], [-1]), ([-1], [low], [1], [-1]), ([-1], [-(2**63)], [1], [-1]), ([5], [1], [1], [-2]),
        ([1000], [-1000], [2], [-3]), ([-1000], [low], [1], [-1]), ([-8, -9], [low, 7], [2, 1], [-2, -1]),
        ([4, 5], [1, 0], [0, 1], [-1, -2]), ([0], [7], [2], [3]), ([-1], [-7], [1], [-1]), ([6], [2], [2], [-1]),
    ):  # fmt: skip
        yield case("Slice", x, *(ints(*v) for v in (starts, ends, axes, steps)), opset=13)
        if min(ends) >= low:
            yield case("Slice", x, *(ints(*v, dtype=np.int32) for v in (starts, ends, axes, steps)), opset=13)
    yield case("Slice", x, ints(1, 1), ints(3, 3), None, ints(1, 2), opset=13)


def gathers() -> Iterator[Case]:
    x = normal(4, 5, 6)
    for axis in (0, 1, 2, -1, -3):
        for index in (
            np.array(1),
            np.array([0, 3]),
            np.array([[0, 1], [2, 3]]),
            np.array([-1, -2]),
            np.array([1, 1, 1]),
        ):
            if axis >= 0 and index.min() >= 0:
                yield from at_versions("Gather", [x, Fixed(index)], axis=axis)
            yield case("Gather", x, Fixed(index.astype(np.int32)), opset=13, axis=axis)
            yield case("Gather", x, index, opset=13, axis=axis)
    yield case("Gather", x, ints(3, 1), opset=13)
    yield case("Gather", Fixed(normal(10, 4)), whole(2, 3, low=0, high=10), opset=13)
    for axis in (0, 1, -1):
        index = whole(3, 4, low=-3 if axis == 0 else 0, high=3, seed=1)
        yield from at_versions("GatherElements", [normal(3, 4), index], 11, axis=axis)
    yield case("GatherElements", normal(3, 4), whole(2, 4, low=0, high=3), opset=13)
    for dims, index in ((0, [[0, 1], [1, 0]]), (0, [[1, 2], [0, 1]]), (1, [[2], [0]])):
        yield case("GatherND", normal(2, 3, 4), Fixed(np.array(index)), opset=13, batch_dims=dims)
    for target in ((2, 3, 4), (1, 1), (3, 1), (5, 2, 3, 4), (2, 1, 4)):
        yield from at_versions(
            "Expand", [normal(1, 3, 1) if target != (2, 1, 4) else normal(2, 3, 4), ints(*target)], 8
        )
        yield case("Expand", normal(3, 1), np.array((2, 1, 4)), opset=13)
    yield case("Expand", normal(), ints(2, 3), opset=13)
    for repeats in ((1, 2, 3), (2, 1, 1), (0, 1, 1), (1, 1, 1)):
        yield from at_versions("Tile", [CUBE, ints(*repeats)])
        yield case("Tile", CUBE, np.array(repeats), opset=13)
    yield case("Trilu", normal(3, 5), opset=14)
    for upper in (0, 1):
        yield case("Trilu", normal(2, 4, 5), opset=14, upper=upper)
        for k in (-2, -1, 0, 1, 3, 9):
            yield case("Trilu", normal(2, 4, 5), scalar(k, np.int64), opset=14, upper=upper)
            yield case("Trilu", whole(4, 3), np.array(k), opset=14, upper=upper)


def pads() -> Iterator[Case]:
    x = normal(2, 3, 4, 5)
    for widths in (
        [0, 0, 1, 2, 0, 0, 3, 1],
        [1, 0, 0, 0, 0, 2, 0, 0],
        [0, 0, 2, 1, 0, 0, 1, 2],
        [0] * 8,
        [0, 0, -1, 0, 0, 0, 0, -2],
        [0, 0, 1, -1, 0, 0, -1, 2],
    ):
        for mode in ("constant", "reflect", "edge"):
            if mode != "constant" and widths[1:2] + widths[:1] + widths[5:6] != [0, 0, 0]:
                continue
            if mode == "reflect" and min(widths) < 0:
                continue
            yield case("Pad", x, opset=7, pads=widths, mode=mode)
            for opset in versions("Pad", 11):
                yield case("Pad", x, ints(*widths), opset=opset, mode=mode)
        yield case("Pad", x, opset=7, pads=widths)
        yield case("Pad", x, opset=7, pads=widths, value=1.5)
        yield case("Pad", x, ints(*widths), scalar(-2.5), opset=13)
        yield case("Pad", x, np.array(widths), np.array(0.5, np.float32), opset=13)
    for axes, widths in (([2], [1, 2]), ([1, 3], [1, 0, 2, 1]), ([-1], [2, 0]), ([3, 2], [1, 2, 3, 1])):
        yield case("Pad", x, ints(*widths), scalar(1.0), ints(*axes), opset=18)
        yield case("Pad", x, ints(*widths), None, ints(*axes), opset=18, mode="edge")
    yield case("Pad", x, ints(0, 0, 1, 2, 0, 0, 3, 1), opset=19, mode="wrap")
    for dtype in (np.int8, np.uint8, np.int32, np.int64, np.float64):
        yield case("Pad", whole(3, 4, low=0, dtype=dtype), ints(1, 0, 0, 2), scalar(3, dtype), opset=13)
    for op in ("DepthToSpace", "SpaceToDepth"):
        for block in (1, 2, 3):
            shape = (2, 2 * block * block, 2, 3) if op == "DepthToSpace" else (2, 2, 2 * block, 3 * block)
            yield from at_versions(op, [normal(*shape)], last=26, blocksize=block)
            if op == "DepthToSpace":
                for mode in ("DCR", "CRD"):
                    yield from at_versions(op, [normal(*shape)], 11, last=26, blocksize=block, mode=mode)


def cast(x: Array, to: Any, opset: int) -> Case:
    return case("Cast", x, opset=opset, to=helper.np_dtype_to_tensor_dtype(np.dtype(to)))


def casts() -> Iterator[Case]:
    numbers = np.array([-3, -1.75, -0.5, 0, 0.5, 1.5, 2.75, 100], np.float32)
    for source in TYPES:
        for to in TYPES:
            x = (np.abs(numbers) if np.dtype(to).kind == "u" or np.dtype(source).kind == "u" else numbers).astype(
                source
            )
            yield cast(x, to, 13)
    for opset in versions("Cast"):
        yield cast(numbers, np.int64, opset)
        yield cast(whole(3, 4), np.float32, opset)
    yield cast(np.array([np.nan, np.inf, 0], np.float32), np.float16, 13)
    yield cast(np.array([np.nan, np.inf, 0], np.float32), np.bool_, 13)
    yield case("CastLike", numbers, np.array([1]), opset=15)
    for opset in versions("OneHot", 9):
        values = Fixed(np.array([-1, 2], np.float32))
        for axis in (-1, 0, 1):
            yield case("OneHot", whole(2, 3, low=0, high=5), ints(5), values, opset=opset, axis=axis)
        yield case("OneHot", np.array([0, -1, 4, 7]), ints(5), values, opset=opset)
    assert TensorProto.FLOAT == 1


def steps() -> Iterator[Case]:
    """Rounding to steps and back: per tensor and per channel, on the axis that is the default and on others."""
    x = normal(2, 3, 4, scale=3)
    for kind, zero in ((np.uint8, 117), (np.int8, -9)):
        for opset in versions("QuantizeLinear", 13, 23):
            yield case("QuantizeLinear", x, scalar(0.05), scalar(zero, kind), opset=opset)
            stored = whole(2, 3, 4, low=0, dtype=kind)
            yield case("DequantizeLinear", stored, scalar(0.05), scalar(zero, kind), opset=opset)
            for axis, size in ((None, 3), (1, 3), (0, 2), (2, 4), (-1, 4)):
                given = {} if axis is None else {"axis": axis}
                scales = Fixed(np.abs(normal(size)) / 9 + np.float32(0.02))
                zeros = Fixed(whole(size, low=0, dtype=kind))
                yield case("QuantizeLinear", x, scales, zeros, opset=opset, **given)
                yield case("DequantizeLinear", stored, scales, zeros, opset=opset, **given)
    yield case("QuantizeLinear", x, scalar(0.05), opset=13)
    yield case("DequantizeLinear", whole(2, 3, 4, low=0, dtype=np.uint8), scalar(0.05), opset=13)
    yield case("DequantizeLinear", whole(2, 3, dtype=np.int32, low=-999, high=999), scalar(0.05), opset=13)


FAMILIES = (shapes, parts, pads, casts, steps)
