"""Convolutions, matrix products and normalizations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .case import Case, Fixed, at_versions, case, normal, versions

AUTO = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def conv(x: tuple[int, ...], w: tuple[int, ...], bias: bool = True, opset: int = 18, **attributes: Any) -> Case:
    fixed = [Fixed(normal(*w, scale=0.3)), *([Fixed(normal(w[0], seed=1))] if bias else [])]
    return case("Conv", normal(*x), *fixed, opset=opset, **attributes)


def convolutions() -> Iterator[Case]:
    for opset in versions("Conv"):
        yield conv((1, 3, 8, 9), (4, 3, 3, 3), opset=opset)
    for attributes in (
        {"pads": [1, 1, 1, 1]}, {"strides": [2, 2]}, {"strides": [2, 1], "pads": [1, 0, 2, 1]}, {"dilations": [2, 2]},
        {"dilations": [2, 1], "pads": [2, 1, 2, 1], "strides": [1, 2]}, {"kernel_shape": [3, 3], "pads": [0, 1, 0, 1]},
        {"pads": [0, 0, 3, 3]}, {"pads": [2, 2, 0, 0], "strides": [3, 3]},
    ):  # fmt: skip
        for groups in (1, 2, 4):
            yield conv((2, 4, 8, 9), (8, 4 // groups, 3, 3), group=groups, **attributes)
        yield conv((1, 16, 8, 9), (16, 1, 3, 3), group=16, **attributes)
        yield conv((1, 5, 8, 9), (7, 5, 3, 3), bias=False, **attributes)
    for auto in AUTO:
        for strides in ([1, 1], [2, 2], [3, 2]):
            for kernel in ((2, 2), (3, 3), (4, 3), (1, 1)):
                yield conv((1, 3, 8, 9), (4, 3, *kernel), auto_pad=auto, strides=strides)
            yield conv((1, 16, 7, 7), (16, 1, 4, 4), auto_pad=auto, strides=strides, group=16)
    yield from other_ranks()
    yield case("Conv", normal(1, 3, 6, 6), normal(4, 3, 3, 3, seed=2), opset=18)
    yield case("Conv", normal(1, 3, 6, 6), normal(4, 3, 3, 3, seed=2), normal(4), opset=18)
    yield case("Conv", normal(1, 3, 6, 6), Fixed(normal(4, 3, 3, 3, seed=2)), None, opset=18)
    yield conv((0, 3, 6, 6), (4, 3, 3, 3))
    for kernel in ((3, 1), (1, 1), (4, 1)):
        yield conv((2, 4, 9, 1), (6, 4, *kernel))
        yield conv((2, 4, 9, 1), (4, 1, *kernel), group=4, strides=[2, 1], pads=[1, 0, 0, 0])
    yield conv((3, 40, 5, 5), (33, 40, 1, 1))
    yield conv((1, 64, 14, 14), (70, 64, 3, 3), pads=[1] * 4)


def other_ranks() -> Iterator[Case]:
    for attributes in (
        {},
        {"pads": [1, 2]},
        {"strides": [2]},
        {"dilations": [3]},
        {"auto_pad": "SAME_LOWER"},
        {"auto_pad": "SAME_UPPER"},
    ):
        yield conv((2, 3, 12), (4, 3, 2), **attributes)
        yield conv((2, 4, 12), (4, 1, 3), group=4, **attributes)
    for more in (
        {},
        {"pads": [1, 0, 1, 0, 1, 2]},
        {"strides": [2, 1, 2]},
        {"auto_pad": "SAME_UPPER"},
        {"dilations": [1, 2, 1]},
    ):
        yield conv((1, 2, 5, 6, 7), (3, 2, 2, 3, 2), **more)
        yield conv((1, 2, 5, 6, 7), (2, 1, 2, 3, 2), group=2, **more)


def transposed() -> Iterator[Case]:
    def one(
        x: tuple[int, ...], w: tuple[int, ...], opset: int = 18, bias: bool = True, group: int = 1, **attributes: Any
    ) -> Case:
        fixed = [Fixed(normal(*w, scale=0.3)), *([Fixed(normal(w[1] * group, seed=1))] if bias else [])]
        given = {"group": group} if group > 1 else {}
        return case("ConvTranspose", normal(*x), *fixed, opset=opset, **given, **attributes)

    for opset in versions("ConvTranspose"):
        yield one((1, 3, 5, 6), (3, 4, 3, 3), opset)
    for attributes in (
        {}, {"strides": [2, 2]}, {"strides": [2, 3], "pads": [1, 0, 1, 1]},
        {"strides": [3, 2], "output_padding": [1, 1]},
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 0]}, {"dilations": [2, 2]},
        {"dilations": [1, 2], "strides": [2, 1]},
        {"strides": [2, 2], "output_shape": [10, 12]}, {"strides": [2, 2], "output_shape": [9, 11]},
        {"strides": [3, 3], "output_shape": [15, 18], "auto_pad": "SAME_UPPER"},
        {"strides": [3, 3], "output_shape": [14, 17], "auto_pad": "SAME_LOWER"},
        {"kernel_shape": [3, 3], "pads": [2, 1, 0, 1]},
        {"strides": [2, 2], "pads": [0, 1, 0, 1]}, {"auto_pad": "VALID", "strides": [2, 2]},
    ):  # fmt: skip
        yield one((1, 3, 5, 6), (3, 4, 3, 3), **attributes)
        yield one((2, 4, 5, 6), (4, 3, 3, 3), group=2, bias=False, **attributes)
    for auto in AUTO:
        for strides in ([1, 1], [2, 2], [3, 2]):
            for kernel in ((2, 2), (3, 3), (4, 3)):
                yield one((1, 3, 5, 6), (3, 4, *kernel), auto_pad=auto, strides=strides)
    yield one((1, 4, 5, 6), (4, 1, 2, 2), group=4, strides=[2, 2])
    yield one((2, 3, 7), (3, 4, 3), strides=[2], pads=[1, 0])
    yield one((2, 3, 7), (3, 4, 3), strides=[2], auto_pad="SAME_LOWER")
    yield one((1, 2, 3, 4, 5), (2, 3, 2, 3, 2), strides=[1, 2, 1], pads=[0, 1, 1, 1, 0, 0])
    yield one((1, 2, 3, 4, 5), (2, 3, 2, 3, 2), strides=[2, 2, 2], output_padding=[0, 1, 1])


MATRICES = [
    ((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (1, 4, 5)),
    ((2, 1, 3, 4), (1, 5, 4, 6)), ((2, 5, 3, 4), (2, 5, 4, 6)), ((3, 4), (2, 4, 5)), ((4,), (2, 4, 5)), ((2, 3, 4),
    (4,)), ((1, 70), (70, 33)),
    ((2, 3, 0), (0, 5)), ((2, 0, 4), (4, 5)), ((7, 40), (40, 100)), ((3, 1, 2, 4), (5, 4, 2)), ((2, 2, 17, 8),
    (2, 2, 8, 17)),
]  # fmt: skip


def matrices() -> Iterator[Case]:
    for a, b in MATRICES:
        for opset in versions("MatMul"):
            yield case("MatMul", normal(*a), normal(*b, seed=1), opset=opset)
        yield case("MatMul", normal(*a), Fixed(normal(*b, seed=1)), opset=13)
        yield case("MatMul", Fixed(normal(*a)), normal(*b, seed=1), opset=13)
    for dtype in (np.int32, np.int64, np.float64):
        yield case("MatMul", normal(3, 4, scale=9).astype(dtype), normal(4, 5, scale=9).astype(dtype), opset=13)
    for a, b, attributes in (
        ((3, 4), (4, 5), {}), ((4, 3), (4, 5), {"transA": 1}), ((3, 4), (5, 4), {"transB": 1}), ((4, 3), (5, 4),
        {"transA": 1, "transB": 1}),
        ((3, 4), (4, 5), {"alpha": 0.5}), ((3, 4), (4, 5), {"beta": 0.25}), ((3, 4), (5, 4),
        {"alpha": 2.0, "beta": -3.0, "transB": 1}),
        ((3, 4), (4, 5), {"beta": 0.0}),
    ):  # fmt: skip
        for c in ((5,), (1, 5), (3, 1), (3, 5), (1,), ()):
            for opset in versions("Gemm"):
                yield case(
                    "Gemm", normal(*a), Fixed(normal(*b, seed=1)), Fixed(normal(*c, seed=2)), opset=opset, **attributes
                )
            yield case("Gemm", normal(*a), normal(*b, seed=1), normal(*c, seed=2), opset=13, **attributes)
        yield case("Gemm", normal(*a), Fixed(normal(*b, seed=1)), opset=11, **attributes)
        yield case("Gemm", normal(*a), normal(*b, seed=1), opset=13, **attributes)
    # as many rows as columns: a column is no row
    column = Fixed(normal(5, 1, seed=2))
    yield case("Gemm", normal(5, 4), Fixed(normal(4, 5, seed=1)), column, opset=13)
    yield case("Gemm", normal(5, 4), Fixed(normal(5, 4, seed=1)), column, opset=9, transB=1, beta=0.5)


def normalizations() -> Iterator[Case]:
    for shape in ((2, 4, 5, 6), (2, 4), (3, 4, 7), (1, 4, 2, 3, 5)):
        parameters = [
            Fixed(normal(4, seed=k) if k < 4 else np.abs(normal(4, seed=k)) + np.float32(0.1)) for k in range(1, 5)
        ]
        for attributes in ({}, {"epsilon": 0.01}, {"epsilon": 0.5, "momentum": 0.5}):
            yield from at_versions("BatchNormalization", [normal(*shape), *parameters], **attributes)
        yield case("BatchNormalization", normal(*shape), *(p.array for p in parameters), opset=15)
        if len(shape) > 2:
            for attributes in ({}, {"epsilon": 0.3}):
                yield from at_versions("InstanceNormalization", [normal(*shape) + 1, *parameters[:2]], **attributes)
    yield case("InstanceNormalization", normal(2, 3, 5, 5, scale=4) + 7, normal(3), normal(3, seed=1), opset=18)
    for shape, axis in (
        ((2, 3, 8), -1),
        ((2, 3, 8), 2),
        ((2, 3, 8), 1),
        ((2, 3, 8), -2),
        ((2, 3, 8), 0),
        ((5, 33), 1),
        ((7,), 0),
    ):
        gain, shift = (Fixed(normal(*shape[axis:], seed=k)) for k in (1, 2))
        x = normal(*shape, scale=2) + 1
        for inputs in ((gain,), (gain, shift)):
            yield case("LayerNormalization", x, *inputs, opset=17, axis=axis)
            yield case("LayerNormalization", x, *inputs, opset=17, axis=axis, epsilon=0.1)
            yield case("LayerNormalization", x, *inputs, opset=17, axis=axis, outputs=3)
        if axis == -1:
            yield case("LayerNormalization", x, gain, opset=17)
    yield case("LayerNormalization", normal(0, 5), Fixed(normal(5)), Fixed(normal(5, seed=1)), opset=17)
    for size in (1, 3, 5):
        yield case("LRN", normal(2, 6, 4, 4), opset=13, size=size)
    yield case("LRN", normal(2, 6, 4, 4), opset=13, size=3, alpha=0.5, beta=0.6, bias=2.0)
    for groups in (1, 2, 4):
        per = [Fixed(normal(4, seed=1)), Fixed(normal(4, seed=2))]
        yield case("GroupNormalization", normal(2, 4, 3, 3), *per, opset=21, num_groups=groups)
        yield case("GroupNormalization", normal(2, 4, 3, 3), *per, opset=21, num_groups=groups, epsilon=0.1)


FAMILIES = (convolutions, transposed, matrices, normalizations)
