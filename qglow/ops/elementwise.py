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
_BINARY = frozenset({t.BINARY, t.BROADCAST})
_MANY = (Operand("x", "T", variadic=True),)


def _int8(row: OpDef) -> OpDef:
    """The op with a variant of two operands of int8 and of int16: its instructions, their meaning and their kernels
    follow (`INT8_BINARY` in instructions/table.py). The kernels know it as a function of floats."""
    together = t.JOINTLY_HOMOGENEOUS in row.traits
    return row._replace(
        attributes=LIMITS, traits=row.traits | {t.FUSIBLE, t.ARITHMETIC, t.MASK_ARITHMETIC}, typing="arithmetic",
        integer=node("integer_elementwise.scaled" if together else "integer_elementwise.mul"),
        equations="8, 9" if together else "10, 11", int8=_INT8, int8_kernel=_INT8,
        lower="lower_pointwise.binary", lower_int16="lower_pointwise.binary", **_NATIVE,
    )  # fmt: skip


def _two(name: str, function: str, *traits: t.Trait, neutral: float | None = None) -> OpDef:
    given = _BINARY | {*traits}
    return OpDef(name, (X, Y), traits=given, **_SPREAD, meaning=elements(function), neutral=neutral)


def _test(name: str, function: str, *traits: t.Trait) -> OpDef:
    return _two(name, function, *traits)._replace(outputs=TRUTHS)


def _variadic(name: str, function: str, *traits: t.Trait) -> OpDef:
    meaning = node(f"float_elementwise.{function}")
    return OpDef(name, _MANY, traits=frozenset({t.BROADCAST, *traits}), **_SPREAD, meaning=meaning)


OPS = (
    _int8(_two("Add", "numpy.add", t.ADDITIVE, t.COMMUTATIVE, t.JOINTLY_HOMOGENEOUS, neutral=0)),
    _int8(_two("Sub", "numpy.subtract", t.ADDITIVE, t.JOINTLY_HOMOGENEOUS, neutral=0)),
    _int8(_two("Mul", "numpy.multiply", t.COMMUTATIVE, neutral=1)),
    _two("Div", "float_elementwise.divide", t.FUSIBLE, neutral=1)._replace(**_NATIVE),
    _test("Equal", "numpy.equal", t.STEP),
    _test("Greater", "numpy.greater", t.STEP),
    _test("GreaterOrEqual", "numpy.greater_equal", t.STEP),
    _test("Less", "numpy.less", t.STEP),
    _test("LessOrEqual", "numpy.less_equal", t.STEP),
    _test("And", "numpy.logical_and")._replace(lower_float="lower_truths.both"),
    _test("Or", "numpy.logical_or")._replace(lower_float="lower_truths.both"),
    _test("Xor", "numpy.logical_xor"),
    OpDef("Pow", (X, Operand("exponent")), traits=_BINARY | {t.FUSIBLE}, **_SPREAD,
          meaning=node("float_elementwise.power"), strict=node("float_ordered.pow_"), lower_float="lower_float.raised"),
    OpDef("Mod", (X, Y), attributes={"fmod": flag()}, traits=_BINARY | {t.STEP}, **_SPREAD,
          meaning=node("float_elementwise.modulo")),
    OpDef("PRelu", (X, Operand("slope", "T")), traits=frozenset({t.BROADCAST, t.FUSIBLE, t.HOMOGENEOUS}), **_SPREAD,
          meaning=node("float_elementwise.prelu"), lower_float="lower_float.binary"),
    _int8(_variadic("Max", "maximum", t.LOWER_BOUND, t.COMMUTATIVE, t.JOINTLY_HOMOGENEOUS)),
    _int8(_variadic("Min", "minimum", t.COMMUTATIVE, t.JOINTLY_HOMOGENEOUS)),
    _variadic("Sum", "total", t.SEVERAL_ROUNDINGS),
    _variadic("Mean", "mean", t.SEVERAL_ROUNDINGS),
    OpDef("Where", (Operand("condition"), X, Y), (Output("z"),),
          traits=frozenset({t.BROADCAST, t.MASK_ARITHMETIC, t.STEP, t.SAME_DTYPE}), **_SPREAD,
          meaning=node("float_elementwise.where"), lower_float="lower_float.where"),
)  # fmt: skip
