"""Pools and resampling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .case import Case, Fixed, at_versions, case, ints, normal, versions, whole
from .products import AUTO

WINDOWS: list[dict[str, Any]] = [
    {}, {"strides": [2, 2]}, {"strides": [2, 1], "pads": [1, 0, 1, 1]}, {"pads": [1, 1, 1, 1]},
    {"pads": [0, 1, 1, 0], "strides": [3, 2]},
    {"pads": [2, 2, 2, 2], "strides": [2, 2]},
]  # fmt: skip


def pools() -> Iterator[Case]:
    for op in ("MaxPool", "AveragePool"):
        for opset in versions(op):
            for window in WINDOWS:
                yield case(op, normal(1, 3, 8, 9) - 1, opset=opset, kernel_shape=[3, 3], **window)
                yield case(op, normal(2, 16, 7, 7) - 1, opset=opset, kernel_shape=[3, 3], **window)
                if opset >= 10:
                    yield case(op, normal(1, 3, 8, 9) - 1, opset=opset, kernel_shape=[3, 3], ceil_mode=1, **window)
                if op == "AveragePool":
                    for ceil in (0, 1) if opset >= 10 else (0,):
                        more = {"ceil_mode": ceil} if ceil else {}
                        yield case(
                            op,
                            normal(1, 3, 8, 9),
                            opset=opset,
                            kernel_shape=[3, 3],
                            count_include_pad=1,
                            **more,
                            **window,
                        )
        for auto in AUTO:
            for strides in ([1, 1], [2, 2], [3, 2]):
                for kernel in ([2, 2], [3, 3], [4, 3]):
                    yield case(
                        op, normal(1, 3, 8, 9) - 1, opset=13, kernel_shape=kernel, strides=strides, auto_pad=auto
                    )
        yield case(op, normal(2, 3, 11), opset=13, kernel_shape=[3], strides=[2], pads=[1, 0])
        yield case(op, normal(2, 3, 11), opset=13, kernel_shape=[3], strides=[2], pads=[1, 1], ceil_mode=1)
        yield case(
            op, normal(1, 3, 5, 6, 7), opset=13, kernel_shape=[2, 3, 2], strides=[1, 2, 2], pads=[0, 1, 1, 0, 1, 0]
        )
        yield from at_versions(
            op, [normal(1, 3, 9, 9)], 19 if op == "AveragePool" else 10, kernel_shape=[3, 2], dilations=[2, 3]
        )
        yield case(
            op,
            normal(1, 3, 9, 9),
            opset=19,
            kernel_shape=[3, 3],
            dilations=[2, 2],
            pads=[1, 1, 1, 1],
            ceil_mode=1,
            strides=[2, 2],
        )
        for shape in ((2, 3, 4, 5), (1, 16, 7, 7), (2, 3, 6), (1, 2, 3, 4, 5), (1, 3, 1, 1), (0, 3, 4, 4)):
            yield from at_versions(f"Global{op}", [normal(*shape)])
    yield case(
        "AveragePool",
        normal(1, 3, 9, 9),
        opset=19,
        kernel_shape=[3, 3],
        dilations=[2, 2],
        pads=[1] * 4,
        count_include_pad=1,
    )
    yield case("MaxPool", whole(1, 3, 8, 9, dtype=np.int8), opset=12, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    yield case("MaxPool", whole(1, 3, 8, 9, low=0, dtype=np.uint8), opset=12, kernel_shape=[2, 3], strides=[2, 2])
    yield from indices()


def indices() -> Iterator[Case]:
    for attributes in (
        {},
        {"strides": [2, 2]},
        {"pads": [1, 1, 1, 1], "strides": [2, 1]},
        {"storage_order": 1},
        {"ceil_mode": 1, "strides": [2, 2]},
    ):
        yield case("MaxPool", normal(2, 3, 8, 9), opset=12, outputs=2, kernel_shape=[3, 3], **attributes)


MODES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SCALES = [(1, 1, 2, 2), (1, 1, 0.5, 0.5), (1, 1, 1.5, 2.5), (1, 1, 0.6, 1.7), (1, 1, 3, 1)]
SIZES = [(1, 3, 12, 14), (1, 3, 3, 3), (1, 3, 9, 20), (1, 3, 1, 1), (1, 3, 6, 7)]
IMAGE = normal(1, 3, 6, 7)


def by_scales(factors: tuple[float, ...], opset: int, x: Any = IMAGE, **attributes: Any) -> Case:
    return case("Resize", x, None, Fixed(np.array(factors, np.float32)), opset=opset, **attributes)


def by_sizes(sizes: tuple[int, ...], opset: int, x: Any = IMAGE, **attributes: Any) -> Case:
    return case("Resize", x, None, None, ints(*sizes), opset=opset, **attributes)


def resizes() -> Iterator[Case]:
    for factors in ((1, 1, 2, 2), (1, 1, 3, 2), (1, 1, 0.5, 0.5), (1, 1, 1.5, 2.5)):
        for attributes in ({}, {"mode": "nearest"}, {"mode": "linear"}):
            yield case("Resize", IMAGE, Fixed(np.array(factors, np.float32)), opset=10, **attributes)
            if min(factors) >= 1:
                yield case("Upsample", IMAGE, opset=7, scales=[float(f) for f in factors], **attributes)
                yield case("Upsample", IMAGE, Fixed(np.array(factors, np.float32)), opset=9, **attributes)
    for opset in versions("Resize", 13):
        for kind, choices in ((by_scales, SCALES), (by_sizes, SIZES)):
            for given in choices:
                yield kind(given, opset)
                for mode in MODES:
                    for nearest in NEAREST:
                        yield kind(given, opset, coordinate_transformation_mode=mode, nearest_mode=nearest)
                    yield kind(given, opset, mode="linear", coordinate_transformation_mode=mode)
                    yield kind(given, opset, mode="cubic", coordinate_transformation_mode=mode)
    yield from newer_resizes()
    yield from crops()
    for factors in ((1, 2, 1, 1), (2, 1, 1, 2)):
        yield by_scales(factors, 18)
    for shape, factors in (((2, 3, 8), (1, 1, 2)), ((4, 6), (2, 1.5)), ((1, 2, 3, 4, 5), (1, 1, 2, 2, 2))):
        yield by_scales(factors, 13, normal(*shape))
        if len(shape) != 3:
            yield by_scales(factors, 13, normal(*shape), mode="linear")
    yield by_scales((1, 1, 2, 2), 13, whole(1, 3, 4, 4, low=0, high=99, dtype=np.uint8))
    yield case("Resize", IMAGE, None, np.array((1, 1, 2, 2), np.float32), opset=13, mode="linear")


def newer_resizes() -> Iterator[Case]:
    for factors in SCALES:
        yield by_scales(factors, 19, coordinate_transformation_mode="half_pixel_symmetric", mode="linear")
        yield by_scales(factors, 19, coordinate_transformation_mode="half_pixel_symmetric")
        for mode in ("linear", "cubic"):
            for exclude in (0, 1):
                yield by_scales(factors, 18, antialias=1, mode=mode, exclude_outside=exclude)
        yield by_scales(factors, 18, mode="cubic", exclude_outside=1, coordinate_transformation_mode="half_pixel")
        yield by_scales(factors, 18, mode="cubic", cubic_coeff_a=-0.5)
        yield by_scales(factors[2:], 18, axes=[2, 3])
        yield by_scales(factors[2:], 18, axes=[2, 3], mode="linear")
        yield by_scales(factors[2:], 18, axes=[-2, -1], mode="linear")
        yield by_scales((factors[3], factors[2]), 18, axes=[3, 2], mode="linear")
    for policy in ("stretch", "not_larger", "not_smaller"):
        for mode in ("nearest", "linear"):
            yield by_sizes((9, 20), 18, axes=[2, 3], keep_aspect_ratio_policy=policy, mode=mode)
            yield by_sizes((5, 4), 18, axes=[2, 3], keep_aspect_ratio_policy=policy, mode=mode)


def crops() -> Iterator[Case]:
    roi = Fixed(np.array([0, 0, 0.2, 0.3, 1, 1, 0.8, 0.9], np.float32))
    for mode in ("nearest", "linear"):
        for factors in SCALES[:3]:
            for value in ({}, {"extrapolation_value": 7.0}):
                fixed = Fixed(np.array(factors, np.float32))
                yield case(
                    "Resize",
                    IMAGE,
                    roi,
                    fixed,
                    opset=13,
                    mode=mode,
                    coordinate_transformation_mode="tf_crop_and_resize",
                    **value,
                )


FAMILIES = (pools, resizes)
