"""Float meaning of element-wise functions. UNARY holds each function of one number, so that a table can be made of it."""

from __future__ import annotations

from collections.abc import Callable
from math import erf as _erf

import numpy as np

from ..graph import Array, Node
from ..graph.branches import truth
from .float_conv import given, optional
from .float_math import exp, sigmoid, tanh
from .float_math import softmax as softmax_of
from .float_table import float_op

_erf_exact = np.vectorize(_erf, otypes=[np.float64])


def erf(x: Array) -> Array:
    """Error function. float64: the C library's; float32: Abramowitz and Stegun 7.1.26 evaluated in float64 (1.5e-7)."""
    if x.dtype == np.float64:
        return np.asarray(_erf_exact(x)) if x.size else x
    a = np.abs(x.astype(np.float64))
    t = 1 / (1 + 0.3275911 * a)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return (np.sign(x) * (1 - series * np.exp(-a * a))).astype(x.dtype)


def _gelu(x: Array, node: Node) -> Array:
    if node.attr("approximate", "none") == "tanh":
        return 0.5 * x * (1 + np.tanh(x.dtype.type(np.sqrt(2 / np.pi)) * (x + x.dtype.type(0.044715) * x * x * x)))
    return 0.5 * x * (1 + erf(x * x.dtype.type(np.sqrt(0.5))))


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(x * x.dtype.type(alpha) + x.dtype.type(beta), 0, 1)


def _softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(x, x.dtype.type(0)))


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)))


_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875

UNARY: dict[str, Callable[[Array, Node], Array]] = {
    "Relu": lambda x, n: np.maximum(x, x.dtype.type(0)),
    "LeakyRelu": lambda x, n: np.where(x >= 0, x, x * x.dtype.type(n.attr("alpha", 0.01))),
    "Sigmoid": lambda x, n: sigmoid(x),
    "Tanh": lambda x, n: tanh(x),
    "HardSigmoid": lambda x, n: _hard_sigmoid(x, n.attr("alpha", 0.2), n.attr("beta", 0.5)),
    "HardSwish": lambda x, n: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "Swish": lambda x, n: x * sigmoid(x * x.dtype.type(n.attr("alpha", 1.0))),
    "Gelu": _gelu,
    "Erf": lambda x, n: erf(x),
    "Elu": lambda x, n: _elu(x, n.attr("alpha", 1.0)),
    "Selu": lambda x, n: x.dtype.type(n.attr("gamma", _SELU_GAMMA)) * _elu(x, n.attr("alpha", _SELU_ALPHA)),
    "Celu": lambda x, n: np.maximum(x, 0) + np.minimum(0, n.attr("alpha", 1.0) * np.expm1(x / x.dtype.type(n.attr("alpha", 1.0)))),
    "Mish": lambda x, n: x * np.tanh(_softplus(x)),
    "Softplus": lambda x, n: _softplus(x),
    "Softsign": lambda x, n: x / (1 + np.abs(x)),
    "ThresholdedRelu": lambda x, n: np.where(x > n.attr("alpha", 1.0), x, x.dtype.type(0)),
    "Exp": lambda x, n: exp(x),
    "Log": lambda x, n: np.log(x),
    "Sqrt": lambda x, n: np.sqrt(x),
    "Reciprocal": lambda x, n: 1 / x,
    "Abs": lambda x, n: np.abs(x),
    "Neg": lambda x, n: -x,
    "Floor": lambda x, n: np.floor(x),
    "Ceil": lambda x, n: np.ceil(x),
    "Round": lambda x, n: np.rint(x),
    "Sign": lambda x, n: np.sign(x),
    "Sin": lambda x, n: np.sin(x),
    "Cos": lambda x, n: np.cos(x),
    "Identity": lambda x, n: x,
}
for _name, _function in UNARY.items():
    float_op(_name)(lambda node, inputs, f=_function: [f(given(inputs, 0), node)])  # type: ignore[misc]


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return np.trunc(a / b).astype(a.dtype) if np.any((a < 0) | (b < 0)) else a // b
    return a / b


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": _divide,
    "Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less, "LessOrEqual": np.less_equal,
    "And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor,
}  # fmt: skip
for _name, _binary in BINARY.items():
    float_op(_name)(lambda node, inputs, f=_binary: [np.asarray(f(given(inputs, 0), given(inputs, 1)))])  # type: ignore[misc]


@float_op("Pow")
def power(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, y = given(inputs, 0), given(inputs, 1)
    return [np.asarray(np.power(x, y.astype(x.dtype) if x.dtype.kind == "f" else y)).astype(x.dtype)]


@float_op("Mod")
def modulo(node: Node, inputs: list[Array | None]) -> list[Array]:
    f = np.fmod if node.attr("fmod", 0) else np.mod
    return [np.asarray(f(given(inputs, 0), given(inputs, 1)))]


@float_op("Min", "Max", "Sum", "Mean")
def variadic(node: Node, inputs: list[Array | None]) -> list[Array]:
    y = given(inputs, 0)
    step = {"Min": np.minimum, "Max": np.maximum}.get(node.op, np.add)
    for k in range(1, len(inputs)):
        y = np.asarray(step(y, given(inputs, k)))
    return [(y / len(inputs)).astype(y.dtype) if node.op == "Mean" else y]


@float_op("Clip")
def clip(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, low, high = given(inputs, 0), optional(inputs, 1), optional(inputs, 2)
    if low is not None:
        x = np.maximum(x, low)
    return [np.asarray(x if high is None else np.minimum(x, high))]


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
    if node.op == "Softmax":
        return [softmax_of(x, axis)]
    shifted = x - x.max(axis, keepdims=True)
    return [shifted - np.log(exp(shifted).sum(axis, keepdims=True))]
