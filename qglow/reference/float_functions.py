"""Functions of one float by the law, for every float dtype (docs/quantization.md, 30 and 31).

float32: the polynomials of float_math.py where compiled kernels share them, else those of double_math.py, rounded once.
float64: double_math.py. float16: what float32 gives, or double_math.py, rounded once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import Array
from . import double_math, float_math
from .float_math import limited, relu, sigmoid, tanh

F64 = np.float64
Unary = Callable[[Array], Array]


def rounded(double: Unary) -> Unary:
    """A function computed in float64 and rounded once to its argument's dtype."""

    def function(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(double(x.astype(F64)).astype(x.dtype))

    return function


softplus, mish = rounded(double_math.softplus), rounded(double_math.mish)
sin, cos, tan = rounded(double_math.sin), rounded(double_math.cos), rounded(double_math.tan)
sinh, cosh = rounded(double_math.sinh), rounded(double_math.cosh)
asin, acos, atan = rounded(double_math.asin), rounded(double_math.acos), rounded(double_math.atan)
asinh, acosh, atanh = rounded(double_math.asinh), rounded(double_math.acosh), rounded(double_math.atanh)


def elu(x: Array, alpha: float, gamma: float = 1.0) -> Array:
    """gamma x above 0, else gamma (alpha (e^x - 1)); both factors as float32."""
    alpha, gamma = float(np.float32(alpha)), float(np.float32(gamma))
    return rounded(lambda v: gamma * np.where(v > 0, v, np.where(v > 0, 0.0, alpha * double_math.expm1(v))))(x)


def celu(x: Array, alpha: float) -> Array:
    """x above 0, else alpha (e^(x / alpha) - 1); alpha as a float32."""
    alpha = float(np.float32(alpha))
    return rounded(lambda v: np.where(v > 0, v, alpha * double_math.expm1(v / alpha)))(x)


def hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    t = x.dtype.type
    return limited(x * t(alpha) + t(beta), t(0), t(1))


def hard_swish(x: Array) -> Array:
    return x * hard_sigmoid(x, 1 / 6, 0.5)


def swish(x: Array, alpha: float) -> Array:
    return x * sigmoid(x * x.dtype.type(alpha))


def gelu(x: Array, approximate: str) -> Array:
    return float_math.gelu_tanh(x) if approximate == "tanh" else float_math.gelu(x)


def reciprocal(x: Array) -> Array:
    return np.asarray(x.dtype.type(1) / x)


def leaky_relu(x: Array, alpha: float) -> Array:
    return np.where(x >= 0, x, x * x.dtype.type(alpha))


def thresholded_relu(x: Array, alpha: float) -> Array:
    return np.where(x > x.dtype.type(alpha), x, x.dtype.type(0))


def softsign(x: Array) -> Array:
    return x / (x.dtype.type(1) + np.abs(x))


def shrink(x: Array, bias: float, bound: float) -> Array:
    t = x.dtype.type
    return np.where(x < t(-bound), x + t(bias), np.where(x > t(bound), x - t(bias), t(0)))


Parametric = Callable[[Array, float, float], Array]
BY_NAME: dict[str, Parametric] = {
    "Relu": lambda x, a, b: relu(x),
    "Tanh": lambda x, a, b: tanh(x),
    "Sigmoid": lambda x, a, b: sigmoid(x),
    "LeakyRelu": lambda x, a, b: leaky_relu(x, a),
    "ThresholdedRelu": lambda x, a, b: thresholded_relu(x, a),
    "HardSigmoid": hard_sigmoid,
    "Elu": lambda x, a, b: elu(x, float(a)),
    "Softsign": lambda x, a, b: softsign(x),
    "Softplus": lambda x, a, b: softplus(x),
}  # what recurrent layers may use beside Affine and ScaledTanh; (x, alpha, beta)
