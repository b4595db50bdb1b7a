"""onnxruntime's fused functions of elements, normalizations and products, as the standard ops that they were fused
from."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
from onnx import numpy_helper

from .body import Body


def gelu(b: Body) -> None:
    b.gives(0, exact_gelu(b, b.plus(b.input(0), b.input(1))))


def exact_gelu(b: Body, x: str) -> str:
    """x / 2 (1 + erf(x / sqrt(2)))"""
    erf = b.op("Erf", b.op("Div", x, b.constant(sqrt(2))))
    return b.op("Mul", b.op("Mul", x, b.op("Add", erf, b.constant(1))), b.constant(0.5))


def fast_gelu(b: Body) -> None:
    """x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x ** 3)))"""
    x = b.plus(b.input(0), b.input(1))
    cube = b.op("Mul", b.op("Pow", x, b.constant(3)), b.constant(0.044715))
    tanh = b.op("Tanh", b.op("Mul", b.op("Add", x, cube), b.constant(sqrt(2 / pi))))
    b.gives(0, b.op("Mul", b.op("Mul", x, b.op("Add", tanh, b.constant(1))), b.constant(0.5)))


def quick_gelu(b: Body) -> None:
    """x sigmoid(alpha x)"""
    x = b.input(0)
    b.gives(0, b.op("Mul", x, b.op("Sigmoid", b.scaled(x, b.attribute("alpha", 1.702)))))


def bias_softmax(b: Body) -> None:
    """softmax(x + bias) over the axes from `axis` on. Raises ValueError where these are several, or bias has another
    rank."""
    x, bias = b.input(0), b.input(1)
    axis = b.attribute("axis", 1) % b.rank(x)
    if axis != b.rank(x) - 1 or b.rank(bias) != b.rank(x):
        raise ValueError("another axis than the last, or a bias of another rank,")
    b.gives(0, b.op("Softmax", b.op("Add", x, bias), axis=-1))


def layer_norm(b: Body) -> None:
    """LayerNormalization before ONNX had it: (x, scale, bias) -> y, mean, 1 / deviation."""
    _normalized(b, b.input(0), b.input(1), b.input(2), 1e-5, (1, 2), _axes(b, b.input(0)))


def rms_norm(b: Body) -> None:
    """SimplifiedLayerNormalization: (x, scale) -> y, 1 / root of the mean square."""
    _rms_normalized(b, b.input(0), b.input(1), 1e-5, 1, _axes(b, b.input(0)))


def mean_variance_norm(b: Body) -> None:
    """MeanVarianceNormalization: x less its mean, through its deviation + 1e-9. Until opset 8 `across_channels` and
    `normalize_variance` say which, since then `axes`; of the default axes (0, 2, 3) those that x has.

    The deviation is that of the centred x, which is never the root of a negative number, as the mean of the squares
    less the square of the mean may be.
    """
    axes = b.attribute("axes", (0, 1, 2, 3) if b.attribute("across_channels", 0) else (0, 2, 3))
    if max(axes, default=-1) > 1:
        axes = [a for a in axes if a < b.rank(b.input(0))]
    centred = b.op("Sub", b.input(0), b.reduce("ReduceMean", b.input(0), *axes))
    if b.opset < 9 and not b.attribute("normalize_variance", 1):
        b.gives(0, centred)
        return
    deviation = b.op("Sqrt", b.reduce("ReduceMean", b.op("Mul", centred, centred), *axes))
    b.gives(0, b.op("Div", centred, b.op("Add", deviation, b.constant(1e-9))))


def skip_layer_norm(b: Body) -> None:
    """(x, skip, gamma, beta, bias) -> y, mean, 1 / deviation, x + skip + bias."""
    total = b.plus(b.input(0), b.input(1), b.input(4))
    b.gives(3, total)
    _normalized(b, total, b.input(2), b.input(3), 1e-12, (1, 2))


def skip_rms_norm(b: Body) -> None:
    """(x, skip, gamma, bias) -> y, mean, 1 / root of the mean square, x + skip + bias."""
    total = b.plus(b.input(0), b.input(1), b.input(3))
    b.gives(3, total)
    _rms_normalized(b, total, b.input(2), 1e-12, 2)


def embed_layer_norm(b: Body) -> None:
    """(ids, segments, words, positions, segment rows, gamma, beta, mask, position ids) -> y, counts of the mask,
    sum."""
    embedded(b, b.input(0), b.input(1), [b.input(k) for k in range(2, 7)], b.input(7), b.input(8))


def embedded(b: Body, ids: str, segments: str, tables: list[str], mask: str, place: str) -> None:
    """tables: words, positions, rows of segments, gamma, beta."""
    words, positions, rows, gamma, beta = tables
    length = b.op("Gather", b.op("Shape", ids), b.ints(1), axis=0)
    at = b.op("Gather", positions, place, axis=0) if place else b.part(positions, 0, length, 0)
    total = b.op("Add", b.op("Gather", words, ids, axis=0), at)
    if segments:
        total = b.op("Add", total, b.op("Gather", rows, segments, axis=0))
    b.gives(2, total)
    if b.is_asked(1):
        if mask:
            counts = b.reduce("ReduceSum", b.op("Cast", mask, to=6), 1, keepdims=0)
        else:
            counts = b.op("ConstantOfShape", b.size(ids, 0), value=numpy_helper.from_array(np.zeros(1, np.int32)))
        b.gives(1, counts)
    _normalized(b, total, gamma, beta, 1e-12, ())


def _axes(b: Body, x: str) -> tuple[int, ...]:
    """The axes of x from `axis` on, by default the last."""
    axis = b.attribute("axis", -1)
    return tuple(range(axis, 0 if axis < 0 else b.rank(x)))


def _normalized(
    b: Body, x: str, scale: str, bias: str, epsilon: float, statistics: tuple[int, ...], axes: tuple[int, ...] = (-1,)
) -> None:
    mean = b.reduce("ReduceMean", x, *axes)
    centred = b.op("Sub", x, mean)
    variance = b.reduce("ReduceMean", b.op("Mul", centred, centred), *axes)
    deviation = b.op("Sqrt", b.op("Add", variance, b.constant(b.attribute("epsilon", epsilon))))
    b.gives(0, b.plus(b.op("Mul", b.op("Div", centred, deviation), scale), bias))
    for index, value in zip(statistics, (mean, deviation), strict=False):
        if b.is_asked(index):
            b.gives(index, value if value is mean else b.op("Reciprocal", value))


def _rms_normalized(b: Body, x: str, scale: str, epsilon: float, inverse: int, axes: tuple[int, ...] = (-1,)) -> None:
    square = b.reduce("ReduceMean", b.op("Mul", x, x), *axes)
    root = b.op("Sqrt", b.op("Add", square, b.constant(b.attribute("epsilon", epsilon))))
    b.gives(0, b.op("Mul", b.op("Div", x, root), scale))
    if b.is_asked(inverse):
        b.gives(inverse, b.op("Reciprocal", root))
