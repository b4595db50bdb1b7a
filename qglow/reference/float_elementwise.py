"""Float meaning of element-wise ops of several tensors, by the law for every dtype. Functions of one number are in
float_functions.py."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import Array, Node
from ..graph.select_op import truth
from . import double_math
from .casts import cast
from .float_conv import given, optional
from .float_math import larger, smaller
from .float_math import log_softmax as log_softmax_of
from .float_math import softmax as softmax_of


def identity(node: Node, inputs: list[Array | None]) -> list[Array]:
    """The input as it is: a tensor, or a sequence of tensors."""
    return [given(inputs, 0)]


def divide(a: Array, b: Array) -> Array:
    """Integers are divided exactly and rounded towards zero."""
    if a.dtype.kind not in "iu":
        return a / b
    down = a // b
    return np.asarray(down + ((down < 0) & (down * b != a)), down.dtype)


def power(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Computed in float64 and rounded once; of two integers exactly, modulo the range of the dtype.

    An integer to the power of a float is cut to an integer; what is within 2^-40 of one is taken as that one.
    """
    x, y = given(inputs, 0), given(inputs, 1)
    if x.dtype.kind in "iu" and y.dtype.kind in "iu" and np.all(y >= 0):
        return [np.asarray(np.power(x, y.astype(x.dtype)))]
    p = double_math.power(x.astype(np.float64), y.astype(np.float64))
    if x.dtype.kind != "f":
        p = np.where(np.abs(np.rint(p) - p) <= np.abs(p) * 2.0**-40, np.rint(p), p)
    return [cast(p, x.dtype)]


def modulo(node: Node, inputs: list[Array | None]) -> list[Array]:
    f = np.fmod if node.attr("fmod") else np.mod
    return [np.asarray(f(given(inputs, 0), given(inputs, 1)))]


def _combined(inputs: list[Array | None], step: Callable[[Array, Array], Array]) -> Array:
    y = given(inputs, 0)
    for k in range(1, len(inputs)):
        y = np.asarray(step(y, given(inputs, k)))
    return y


def minimum(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [_combined(inputs, smaller)]


def maximum(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [_combined(inputs, larger)]


def total(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [_combined(inputs, np.add)]


def mean(node: Node, inputs: list[Array | None]) -> list[Array]:
    y = _combined(inputs, np.add)
    return [np.asarray(y / y.dtype.type(len(inputs)), y.dtype)]


def clip(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, low, high = given(inputs, 0), optional(inputs, 1), optional(inputs, 2)
    x = x if low is None else np.where(x < low, low, x)
    return [x if high is None else np.where(x > high, high, x)]


def prelu(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, slope = given(inputs, 0), given(inputs, 1)
    return [np.where(x >= 0, x, x * slope)]


def logical_not(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [np.logical_not(given(inputs, 0))]


def is_nan(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [np.isnan(given(inputs, 0))]


def where(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [np.where(given(inputs, 0), given(inputs, 1), given(inputs, 2))]


def select(node: Node, inputs: list[Array | None]) -> list[Array]:
    """One of two tensors, whole, by a condition of one element; the other need not be there, and may have any shape."""
    return [given(inputs, 1 if truth(given(inputs, 0)) else 2)]


def softmax(node: Node, inputs: list[Array | None]) -> list[Array]:
    return _along(softmax_of, node, given(inputs, 0))


def safe_softmax(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Softmax with 0 in place of what is not a number, as of a row whose elements are all -inf."""
    (y,) = softmax(node, inputs)
    return [np.where(np.isnan(y), y.dtype.type(0), y)]


def log_softmax(node: Node, inputs: list[Array | None]) -> list[Array]:
    return _along(log_softmax_of, node, given(inputs, 0))


def _along(function: Callable[[Array, int], Array], node: Node, x: Array) -> list[Array]:
    axis = int(node.attr("axis"))
    if x.size == 0:
        return [x]
    return [function(x.astype(np.float32), axis).astype(x.dtype) if x.dtype == np.float16 else function(x, axis)]
