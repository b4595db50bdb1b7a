"""Functions of two or more broadcast tensors."""

from __future__ import annotations

from typing import Any

from . import traits as t
from .attributes import flag
from .definition import OpDef, Operand, Output
from .forms import form
from .shorthand import LIMITS, TRUTHS, X, Y, elements, node

_INT8 = form(*LIMITS)
_SPREAD: Any = {"shape": "shape_rules.broadcast"}
_NATIVE: Any = {"lower_float": "lower_float.binary"}
_FOLD = frozenset({t.BINARY, t.BROADCAST, t.FUSIBLE})
_MANY = (Operand("x", "T", variadic=True),)


def _int8(name: str, function: str, integer: str, equations: str, neutral: float, *traits: t.Trait) -> OpDef:
    """An op with an int8 variant."""
    return OpDef(
        name, (X, Y), attributes=LIMITS, traits=_FOLD | {t.ARITHMETIC, t.MASK_ARITHMETIC, *traits}, **_SPREAD,
        typing="arithmetic", meaning=elements(function), integer=node(integer), equations=equations, int8=_INT8,
        int8_kernel=_INT8, neutral=neutral, lower="lower_pointwise.binary",
        lower_int16="lower_int16.binary", **_NATIVE,
    )  # fmt: skip


def _test(name: str, function: str, *traits: t.Trait) -> OpDef:
    given = frozenset({t.BINARY, t.BROADCAST, *traits})
    return OpDef(name, (X, Y), TRUTHS, traits=given, **_SPREAD, meaning=elements(function))


def _variadic(name: str, function: str, *traits: t.Trait) -> OpDef:
    meaning = node(f"float_elementwise.{function}")
    return OpDef(name, _MANY, traits=frozenset({t.BROADCAST, *traits}), **_SPREAD, meaning=meaning)


OPS = (
    _int8("Add", "numpy.add", "integer_elementwise.add", "8, 9", 0, t.ADDITIVE, t.COMMUTATIVE),
    _int8("Sub", "numpy.subtract", "integer_elementwise.add", "8, 9", 0, t.ADDITIVE),
    _int8("Mul", "numpy.multiply", "integer_elementwise.mul", "10, 11", 1, t.COMMUTATIVE),
    OpDef("Div", (X, Y), traits=_FOLD, **_SPREAD, neutral=1, meaning=elements("float_elementwise.divide"),
          lower_float="lower_float.binary"),
    _test("Equal", "numpy.equal", t.STEP),
    _test("Greater", "numpy.greater", t.STEP),
    _test("GreaterOrEqual", "numpy.greater_equal", t.STEP),
    _test("Less", "numpy.less", t.STEP),
    _test("LessOrEqual", "numpy.less_equal", t.STEP),
    _test("And", "numpy.logical_and"),
    _test("Or", "numpy.logical_or"),
    _test("Xor", "numpy.logical_xor"),
    OpDef("Pow", (X, Operand("exponent")), traits=_FOLD, **_SPREAD, meaning=node("float_elementwise.power"),
          strict=node("float_ordered.pow_"), lower_float="lower_float.raised"),
    OpDef("Mod", (X, Y), attributes={"fmod": flag()}, traits=frozenset({t.BINARY, t.BROADCAST, t.STEP}), **_SPREAD,
          meaning=node("float_elementwise.modulo")),
    OpDef("PRelu", (X, Operand("slope", "T")), traits=frozenset({t.BROADCAST, t.FUSIBLE, t.HOMOGENEOUS}), **_SPREAD,
          meaning=node("float_elementwise.prelu"), lower_float="lower_float.binary"),
    _variadic("Max", "maximum", t.FUSIBLE, t.LOWER_BOUND, t.MASK_ARITHMETIC)._replace(**_NATIVE),
    _variadic("Min", "minimum", t.FUSIBLE, t.MASK_ARITHMETIC)._replace(**_NATIVE),
    _variadic("Sum", "total", t.SEVERAL_ROUNDINGS),
    _variadic("Mean", "mean", t.SEVERAL_ROUNDINGS),
    OpDef("Where", (Operand("condition"), X, Y), (Output("z"),),
          traits=frozenset({t.BROADCAST, t.MASK_ARITHMETIC, t.STEP, t.SAME_DTYPE}), **_SPREAD,
          meaning=node("float_elementwise.where")),
)  # fmt: skip
