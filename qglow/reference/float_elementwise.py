"""Meaning of element-wise functions, by the law for every dtype. UNARY holds each function of one number, so that a table can be made
of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import Array, Node
from ..graph.select_op import truth
from . import double_math
from . import float_functions as functions
from .casts import cast
from .float_conv import given, optional
from .float_math import erf, exp, gelu, gelu_tanh, larger, log, log_softmax, relu, sigmoid, smaller, tanh
from .float_math import softmax as softmax_of
from .float_table import float_op

_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875

UNARY: dict[str, Callable[[Array, Node], Array]] = {
    "Relu": lambda x, n: relu(x),
    "LeakyRelu": lambda x, n: functions.leaky_relu(x, n.attr("alpha", 0.01)),
    "Sigmoid": lambda x, n: sigmoid(x),
    "Tanh": lambda x, n: tanh(x),
    "HardSigmoid": lambda x, n: functions.hard_sigmoid(x, n.attr("alpha", 0.2), n.attr("beta", 0.5)),
    "HardSwish": lambda x, n: x * functions.hard_sigmoid(x, 1 / 6, 0.5),
    "Swish": lambda x, n: x * sigmoid(x * x.dtype.type(n.attr("alpha", 1.0))),
    "Gelu": lambda x, n: gelu_tanh(x) if n.attr("approximate", "none") == "tanh" else gelu(x),
    "Erf": lambda x, n: erf(x),
    "Elu": lambda x, n: functions.elu(x, n.attr("alpha", 1.0)),
    "Selu": lambda x, n: functions.elu(x, n.attr("alpha", _SELU_ALPHA), n.attr("gamma", _SELU_GAMMA)),
    "Celu": lambda x, n: functions.celu(x, n.attr("alpha", 1.0)),
    "Mish": lambda x, n: functions.mish(x),
    "Softplus": lambda x, n: functions.softplus(x),
    "Softsign": lambda x, n: functions.softsign(x),
    "ThresholdedRelu": lambda x, n: functions.thresholded_relu(x, n.attr("alpha", 1.0)),
    "Shrink": lambda x, n: functions.shrink(x, n.attr("bias", 0.0), n.attr("lambd", 0.5)),
    "Exp": lambda x, n: exp(x),
    "Log": lambda x, n: log(x),
    "Sqrt": lambda x, n: np.sqrt(x),
    "Reciprocal": lambda x, n: x.dtype.type(1) / x,
    "Abs": lambda x, n: np.abs(x),
    "Neg": lambda x, n: -x,
    "Floor": lambda x, n: np.floor(x),
    "Ceil": lambda x, n: np.ceil(x),
    "Round": lambda x, n: np.rint(x),
    "Sign": lambda x, n: np.sign(x),
    "Identity": lambda x, n: x,
    **{name: lambda x, n, f=f: f(x) for name, f in functions.ROUNDED.items()},  # type: ignore[misc]
}
for _name, _function in UNARY.items():
    float_op(_name)(lambda node, inputs, f=_function: [f(given(inputs, 0), node)])  # type: ignore[misc]


def _divide(a: Array, b: Array) -> Array:
    """Integers are divided exactly and rounded towards zero."""
    if a.dtype.kind not in "iu":
        return a / b
    down = a // b
    return np.asarray(down + ((down < 0) & (down * b != a)), down.dtype)


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": _divide,
    "Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less, "LessOrEqual": np.less_equal,
    "And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor,
}  # fmt: skip
for _name, _binary in BINARY.items():
    float_op(_name)(lambda node, inputs, f=_binary: [np.asarray(f(given(inputs, 0), given(inputs, 1)))])  # type: ignore[misc]


@float_op("Pow")
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


@float_op("Mod")
def modulo(node: Node, inputs: list[Array | None]) -> list[Array]:
    f = np.fmod if node.attr("fmod", 0) else np.mod
    return [np.asarray(f(given(inputs, 0), given(inputs, 1)))]


@float_op("Min", "Max", "Sum", "Mean")
def variadic(node: Node, inputs: list[Array | None]) -> list[Array]:
    y = given(inputs, 0)
    step = {"Min": smaller, "Max": larger}.get(node.op, np.add)
    for k in range(1, len(inputs)):
        y = np.asarray(step(y, given(inputs, k)))
    return [np.asarray(y / y.dtype.type(len(inputs)), y.dtype) if node.op == "Mean" else y]


@float_op("Clip")
def clip(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, low, high = given(inputs, 0), optional(inputs, 1), optional(inputs, 2)
    x = x if low is None else np.where(x < low, low, x)
    return [x if high is None else np.where(x > high, high, x)]


@float_op("PRelu")
def prelu(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, slope = given(inputs, 0), given(inputs, 1)
    return [np.where(x >= 0, x, x * slope)]


@float_op("Not")
def logical_not(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [np.logical_not(given(inputs, 0))]


@float_op("IsNaN")
def is_nan(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [np.isnan(given(inputs, 0))]


@float_op("Where")
def where(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [np.where(given(inputs, 0), given(inputs, 1), given(inputs, 2))]


@float_op("Select")
def select(node: Node, inputs: list[Array | None]) -> list[Array]:
    """One of two tensors, whole, by a condition of one element; the other need not be there, and may have any shape."""
    return [given(inputs, 1 if truth(given(inputs, 0)) else 2)]


@float_op("Softmax", "LogSoftmax")
def softmax(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, axis = given(inputs, 0), int(node.attr("axis", -1))
    if x.size == 0:
        return [x]
    function = softmax_of if node.op == "Softmax" else log_softmax
    return [function(x.astype(np.float32), axis).astype(x.dtype) if x.dtype == np.float16 else function(x, axis)]
