"""Functions of one number, applied to every element: any of them becomes a lookup table where its input is int8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import traits as t
from .attributes import Attribute, real, word
from .definition import OpDef, Operand
from .forms import Form, form, only
from .shorthand import NUMBER, TRUTHS, X, elements, node, optional

_SAME: Any = {"shape": "shape_rules.same"}
_TABLE = frozenset({t.POINTWISE, t.FUSIBLE})
Function = str | Callable[..., Any]
_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def _unary(
    name: str, function: Function, *traits: t.Trait, float_kernel: Form | None = None, **attributes: Attribute
) -> OpDef:  # fmt: skip
    """function: of the elements and the attributes, in this order."""
    return OpDef(
        name, (X,), attributes=attributes, traits=_TABLE | {*traits}, **_SAME, meaning=elements(function),
        float_kernel=float_kernel,
    )  # fmt: skip


def _native(name: str, function: Function, *traits: t.Trait, float_kernel: Form | None = None, **more: Any) -> OpDef:
    """One of which there is a function of floats in the kernels; it takes the numbers among the attributes."""
    numbers = [key for key, attribute in more.items() if isinstance(attribute.default, float)]
    form_ = float_kernel or (form(*numbers) if numbers else None)
    return _unary(name, function, *traits, float_kernel=form_, **more)._replace(lower_float="lower_float.unary")


OPS = (
    _native("Relu", "float_math.relu", t.CLAMP, t.HOMOGENEOUS, t.STRIDED_FLOATS),
    _native("LeakyRelu", "float_functions.leaky_relu", t.HOMOGENEOUS, alpha=real(0.01)),
    _native("Sigmoid", "float_math.sigmoid", t.SEVERAL_ROUNDINGS),
    _native("Tanh", "float_math.tanh", t.SEVERAL_ROUNDINGS),
    _native("HardSigmoid", "float_functions.hard_sigmoid", t.SEVERAL_ROUNDINGS, alpha=real(0.2), beta=real(0.5)),
    _native("HardSwish", "float_functions.hard_swish", t.SEVERAL_ROUNDINGS),
    _native("Swish", "float_functions.swish", t.SEVERAL_ROUNDINGS, alpha=real(1.0)),
    _native("Gelu", "float_functions.gelu", t.SEVERAL_ROUNDINGS, approximate=word("none", "tanh", default="none"),
           float_kernel=form(approximate=only("none"))),
    _native("Erf", "float_math.erf", t.SEVERAL_ROUNDINGS),
    _native("Elu", "float_functions.elu", t.SEVERAL_ROUNDINGS, alpha=real(1.0)),
    _native("Selu", "float_functions.elu", t.SEVERAL_ROUNDINGS, alpha=real(_SELU_ALPHA), gamma=real(_SELU_GAMMA)),
    _native("Celu", "float_functions.celu", t.SEVERAL_ROUNDINGS, alpha=real(1.0)),
    _native("Mish", "float_functions.mish", t.SEVERAL_ROUNDINGS),
    _native("Softplus", "float_functions.softplus", t.SEVERAL_ROUNDINGS),
    _native("Softsign", "float_functions.softsign", t.SEVERAL_ROUNDINGS),
    _native("ThresholdedRelu", "float_functions.thresholded_relu", alpha=real(1.0)),
    _native("Shrink", "float_functions.shrink", bias=real(0.0), lambd=real(0.5)),
    _native("Exp", "float_math.exp"),
    _native("Log", "float_math.log", t.MASK_ARITHMETIC),
    _native("Sqrt", "numpy.sqrt"),
    _native("Reciprocal", "float_functions.reciprocal"),
    _native("Abs", "numpy.abs"),
    _native("Neg", "numpy.negative", t.MASK_ARITHMETIC),
    _native("Floor", "numpy.floor", t.STEP),
    _native("Ceil", "numpy.ceil", t.STEP),
    _native("Round", "numpy.rint", t.STEP),
    _native("Sign", "numpy.sign", t.STEP),
    *(_native(name, f"float_functions.{name.lower()}") for name in ("Sin", "Cos", "Tan")),
    *(_unary(name, f"float_functions.{name.lower()}")
      for name in ("Sinh", "Cosh", "Asin", "Acos", "Atan", "Asinh", "Acosh", "Atanh")),
    OpDef("Identity", (X,), **_SAME, typing="moves", meaning=node("float_elementwise.identity"),
          integer=node("integer_elementwise.move"),
          traits=_TABLE | {t.HOMOGENEOUS, t.KEEPS_QUANTIZATION, t.VIEW, t.RESHAPE, t.REORDER, t.RANK_PRESERVING,
                           t.MASK_CARRIER, t.MASK_ARITHMETIC}, lower="lower_move.reshape"),
    OpDef("Clip", (X, optional("min", "T", NUMBER), optional("max", "T", NUMBER)), **_SAME,
          meaning=node("float_elementwise.clip"),
          traits=frozenset({t.FUSIBLE, t.CLAMP, t.LOWER_BOUND, t.STRIDED_FLOATS}), lower_float="lower_float.clipped"),
    OpDef("Not", (Operand("x"),), TRUTHS, **_SAME, meaning=node("float_elementwise.logical_not"),
          lower_float="lower_truths.inverted"),
    OpDef("IsNaN", (Operand("x"),), TRUTHS, **_SAME, meaning=node("float_elementwise.is_nan")),
)  # fmt: skip
