"""Regions of images, choices of elements, and what onnx's own reference computes: attributes, opsets, and inputs that
are not constant."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from .case import Case, Fixed, case, ints, normal, scalar, truths, whole

LOOSE = 1e-4  # of functions whose terms cancel


def norms() -> Iterator[Case]:
    for size in (1, 3, 5):
        yield case("LRN", normal(2, 7, 3, 4), size=size)
        yield case("LRN", normal(2, 7, 3, 4), size=size, alpha=0.1, beta=0.5, bias=2.0)
    for p, axis in product((1, 2), (0, 1, -1)):
        yield case("LpNormalization", normal(3, 4, 5), p=p, axis=axis, tolerance=LOOSE)
    for p in (1, 2, 3):
        yield case("GlobalLpPool", normal(1, 2, 3, 4), p=p)
        yield case("LpPool", normal(1, 2, 6, 7), kernel_shape=[2, 3], p=p)
        yield case("LpPool", normal(1, 2, 6, 7), kernel_shape=[2, 3], p=p, opset=11)
        yield case("LpPool", normal(1, 2, 6, 7), kernel_shape=[2, 3], p=p, pads=[1, 1, 0, 2], strides=[2, 2])
        yield case(
            "LpPool", normal(1, 2, 6, 7), kernel_shape=[2, 3], p=p, dilations=[2, 1], strides=[2, 2], ceil_mode=1
        )
        yield case("LpPool", normal(1, 2, 6, 7), kernel_shape=[3, 3], p=p, auto_pad="SAME_UPPER", strides=[2, 2])
        yield case("LpPool", normal(1, 2, 7), kernel_shape=[3], p=p)
    for shape, groups in (((2, 6, 3, 4), 3), ((2, 6), 2), ((2, 6, 5), 6)):
        for scale, bias in ((normal(6), normal(6, seed=1)), (Fixed(normal(6)), Fixed(normal(6, seed=1)))):
            yield case("GroupNormalization", normal(*shape), scale, bias, opset=21, num_groups=groups, tolerance=LOOSE)
            yield case(
                "GroupNormalization",
                normal(*shape),
                scale,
                bias,
                opset=21,
                num_groups=groups,
                epsilon=0.1,
                tolerance=LOOSE,
            )
    yield case("MeanVarianceNormalization", normal(2, 3, 4, 5), tolerance=LOOSE)
    yield case("MeanVarianceNormalization", normal(2, 3, 4, 5), axes=[2, 3], tolerance=LOOSE)
    yield case("RMSNormalization", normal(2, 3, 4), normal(4), opset=23)
    yield case("RMSNormalization", normal(2, 3, 4), normal(3, 4), opset=23, axis=1, epsilon=0.1)


def regions() -> Iterator[Case]:
    boxes = np.float32([[0, 0, 5, 5], [1.5, 2.2, 7, 6.4], [-1, -2, 9, 9], [3, 3, 3, 3]])
    for mode, ratio, opset in product(("avg", "max"), (0, 2, 3), (10, 16)):
        yield case(
            "RoiAlign", normal(2, 3, 8, 7), boxes, np.int64([0, 1, 0, 1]), opset=opset, mode=mode, sampling_ratio=ratio,
            output_height=3, output_width=2, spatial_scale=0.7, tolerance=LOOSE,
        )  # fmt: skip
    for transform in ("output_half_pixel", "half_pixel"):
        yield case(
            "RoiAlign", normal(2, 3, 8, 7), boxes, np.int64([0, 1, 0, 1]), opset=16,
            coordinate_transformation_mode=transform,
            tolerance=LOOSE,
        )  # fmt: skip
    rois = np.float32([[0, 0, 0, 5, 5], [0, 2, 2, 7, 6]])
    yield case("MaxRoiPool", normal(1, 2, 8, 8), rois, pooled_shape=[2, 2])
    yield case("MaxRoiPool", normal(1, 2, 8, 8), rois * np.float32(2), pooled_shape=[2, 3], spatial_scale=0.5)
    places = np.int64([0, 3, 9, 14]).reshape(1, 1, 2, 2)
    yield case("MaxUnpool", normal(1, 1, 2, 2), places, kernel_shape=[2, 2], strides=[2, 2])
    yield case("MaxUnpool", normal(1, 1, 2, 2), places, ints(1, 1, 4, 4), kernel_shape=[2, 2], strides=[2, 2])
    grid = (normal(1, 4, 3, 2) * 0.8).astype(np.float32)
    for mode, padding, corners in product(("linear", "nearest", "cubic"), ("zeros", "border", "reflection"), (0, 1)):
        yield case(
            "GridSample",
            normal(1, 2, 5, 6),
            grid,
            opset=20,
            mode=mode,
            padding_mode=padding,
            align_corners=corners,
            tolerance=1e-3,
        )
    for mode in ("bilinear", "nearest", "bicubic"):
        yield case("GridSample", normal(1, 2, 5, 6), grid, opset=16, mode=mode, tolerance=1e-3)
    yield case(
        "GridSample", normal(1, 2, 5, 6, 4), (normal(1, 4, 3, 2, 3) * 0.8).astype(np.float32), opset=20, tolerance=1e-3
    )


def choices() -> Iterator[Case]:
    for axis in (-1, 0, 1):
        yield case("OneHot", np.int64([[0, 2], [-1, 5]]), scalar(4, np.int64), np.float32([-1, 3]), axis=axis)
    yield case("OneHot", np.int64([0, 2]), ints(4), np.int64([0, 9]))
    for axis, opset in product((0, 1, 2, -1), (11, 13)):
        yield case("Hardmax", normal(3, 4, 5), axis=axis, opset=opset)
    yield case("Hardmax", np.float32([[1, 3, 3, 2]]))
    for at in ({}, {"axis": 0}, {"axis": -1}):
        yield case("Compress", normal(3, 3), np.array([1, 0, 1], bool), **at)
        yield case("Compress", normal(3, 3), Fixed(np.array([0, 1], bool)), **at)
    table = np.float32([[1, 3, 1], [0, 3, 0], [1, 3, 1]])
    for at in ({}, {"axis": 0}, {"axis": -1}, {"sorted": 0}, {"axis": 0, "sorted": 0}):
        yield case("Unique", table, outputs=4, **at)
    boxes = np.abs(normal(2, 12, 4)).astype(np.float32)
    boxes[..., 2:] += np.float32(0.5)
    scores = normal(2, 2, 12)
    for centers in (0, 1):
        given = (np.int64([3]), np.float32([0.3]), np.float32([0.1]))
        yield case("NonMaxSuppression", boxes, scores, *given, center_point_box=centers)
        yield case("NonMaxSuppression", boxes, scores, *given[:2], center_point_box=centers)
    apart = np.float32([[[0, 0, 1, 1], [2, 2, 3, 3], [0, 0.9, 1, 1.9], [1, 0, 2, 1]]])
    yield case("NonMaxSuppression", apart, normal(1, 1, 4), ints(9))  # without a threshold, boxes that overlap at all
    yield case("NonMaxSuppression", boxes, scores, ints(30), Fixed(np.float32([0.3])), Fixed(np.float32([0.1])))
    for axis, reduction in product((0, -1), ("none", "add", "mul", "max", "min")):
        shape = (2, 4) if axis == 0 else (3, 2)
        places = whole(*shape, low=-3, high=3) if reduction != "none" else np.argsort(normal(*shape), axis)
        yield case("ScatterElements", normal(3, 4), places, normal(*shape, seed=1), axis=axis, reduction=reduction)
    yield case("Scatter", normal(3, 4), np.int64([[0, 1, 2, 0]]), normal(1, 4), opset=9)
    yield case("Scatter", normal(3, 4), np.int64([[0], [1], [2]]), normal(3, 1), opset=10, axis=1)


def by_onnx() -> Iterator[Case]:
    """Operators whose meaning is that of onnx.reference."""
    for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
        yield case(op, whole(2, 3), whole(2, 1, seed=1))
    yield case("BitwiseNot", whole(2, 3))
    yield case("BitShift", whole(3, low=1, dtype=np.uint64), whole(3, low=1, high=4, dtype=np.uint64), direction="LEFT")
    yield case("BitShift", whole(3, low=1, dtype=np.uint8), whole(3, low=1, high=4, dtype=np.uint8), direction="RIGHT")
    yield case("CastLike", normal(3) * 3, whole(1, dtype=np.int32))
    for more in ({}, {"axes": [0, 1]}, {"axes": [-2, -1]}):
        yield case("CenterCropPad", normal(5, 6), ints(4, 8), **more)
    yield case("Col2Im", normal(1, 9, 4), ints(4, 4), ints(3, 3))
    yield case("Col2Im", normal(1, 8, 4), ints(5, 5), ints(2, 2), dilations=[2, 2], strides=[2, 2])
    a, b = whole(3, 5, low=0, high=256, dtype=np.uint8), whole(5, 4, low=-128, high=128, dtype=np.int8)
    for zeros in ((), (np.uint8(3),), (np.uint8(3), np.int8(5)), (np.uint8(3), np.int8([5, 9, 1, 0]))):
        yield case("MatMulInteger", a, b, *zeros)
    x, w = whole(1, 4, 6, 5, low=0, high=256, dtype=np.uint8), whole(4, 2, 3, 3, low=0, high=256, dtype=np.uint8)
    yield case(
        "ConvInteger", x, w, np.uint8(3), np.uint8(5), group=2, pads=[1, 0, 1, 2], strides=[2, 1], dilations=[1, 2]
    )
    yield case("ConvInteger", x, w, group=2, auto_pad="SAME_UPPER", strides=[2, 2])
    yield case("DFT", normal(2, 5, 6, 1), opset=17, onesided=1, tolerance=1e-3)
    yield case("DFT", normal(2, 5, 6, 2), opset=17, axis=2, inverse=1, tolerance=1e-3)
    yield case("DFT", normal(2, 5, 6, 1), scalar(7, np.int64), scalar(2, np.int64), opset=20, tolerance=1e-3)
    yield case("STFT", normal(1, 32, 1), scalar(8, np.int64), normal(16), opset=17, onesided=0, tolerance=1e-3)
    yield case("DeformConv", normal(1, 2, 5, 5), normal(3, 2, 3, 3), normal(1, 18, 3, 3), opset=19, tolerance=1e-3)
    yield case("Det", normal(2, 3, 3))
    yield case("DynamicQuantizeLinear", normal(3, 4), outputs=3)
    for equation in ("ij,jk->ik", "ij->ji", "bhij,bhjk->bhik", "ij->"):
        shapes = [{"b": 1, "h": 2, "i": 3, "j": 4, "k": 5}[a] for a in equation.split("->")[0].replace(",", "")]
        cut = len(equation.split("->")[0].split(",")[0])
        yield case(
            "Einsum", normal(*shapes[:cut]), *([normal(*shapes[cut:])] if shapes[cut:] else []), equation=equation
        )
    for more in ({}, {"k": 1}, {"k": -2, "dtype": 7}):
        yield case("EyeLike", normal(3, 5), **more)
    for dims, places in ((0, [[0, 1], [1, 0]]), (0, [[-1, 0]]), (1, [[1], [0]])):
        yield case("GatherND", normal(2, 2, 3), np.int64(places), batch_dims=dims)
    for more in ({}, {"detect_negative": 0}, {"detect_positive": 0}):
        yield case("IsInf", np.float32([1, np.inf, -np.inf, np.nan]), **more)
    labels, weights = whole(3, 2, low=0, high=5), np.abs(normal(5)).astype(np.float32)
    for reduction in ("none", "mean", "sum"):
        yield case("NegativeLogLikelihoodLoss", normal(3, 5, 2), labels, weights, reduction=reduction, ignore_index=1)
        yield case(
            "SoftmaxCrossEntropyLoss", normal(3, 5, 2), labels, weights, outputs=2, reduction=reduction, tolerance=LOOSE
        )
    yield case("ReverseSequence", normal(4, 3, 2), np.int64([4, 2, 1]), batch_axis=1, time_axis=0)
    yield case("ReverseSequence", normal(4, 3, 2), np.int64([3, 2, 1, 2]), batch_axis=0, time_axis=1)
    for reduction in ("none", "add", "mul", "max", "min"):
        yield case("ScatterND", normal(4, 3), np.int64([[1], [-1]]), normal(2, 3), reduction=reduction)
    for more in ({}, {"rotary_embedding_dim": 4}):
        yield case("RotaryEmbedding", normal(1, 2, 3, 8), normal(8, 4 if not more else 2),
            normal(8, 4 if not more else 2, seed=1),
                   np.int64([[0, 1, 2]]), opset=23, **more)  # fmt: skip
    for op, periodic in product(("BlackmanWindow", "HammingWindow", "HannWindow"), (0, 1)):
        yield case(op, scalar(10, np.int64), opset=17, periodic=periodic, tolerance=1e-3)
    for corners in (0, 1):
        yield case("AffineGrid", normal(2, 2, 3), ints(2, 1, 4, 5), opset=20, align_corners=corners, tolerance=LOOSE)
    yield case(
        "MelWeightMatrix", ints_of(8), ints_of(16), ints_of(8192), scalar(0.0), scalar(4096.0), opset=17, tolerance=1e-3
    )
    yield case(
        "TfIdfVectorizer", whole(12, low=1, high=9, dtype=np.int32), max_gram_length=2, max_skip_count=0,
        min_gram_length=2,
        mode="TF", ngram_counts=[0, 4], ngram_indexes=[0, 1, 2, 3, 4, 5, 6], pool_int64s=[2, 3, 5, 4, 5, 6, 7, 8, 6, 7],
    )  # fmt: skip
    yield case("Where", truths(3), normal(3), normal(3, seed=1))


def ints_of(value: int) -> Fixed:
    return scalar(value, np.int64)


FAMILIES = [norms, regions, choices, by_onnx]
