"""Ops that read or make shapes, convert dtypes, or make tensors of constants."""

from __future__ import annotations

from . import traits as t
from .attributes import array, flag, ignored, integer, required, word
from .definition import OpDef, Operand, Output
from .forms import form
from .shorthand import IN, INDICES, NUMBER, node

DTYPES = (
    "float32", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool",
    "object",
)  # fmt: skip
_ENDS = {"start": integer(0), "end": integer()}

OPS = (
    OpDef("Shape", (IN,), INDICES, _ENDS, frozenset({t.SHAPE_ONLY}), typing="free", shape="shape_rules_movement.shape",
          meaning=node("float_shape.shape"), integer=node("integer_elementwise.shape_op"), int8=form(*_ENDS)),
    OpDef("Size", (IN,), INDICES, traits=frozenset({t.SHAPE_ONLY}), typing="free", shape="shape_rules_movement.scalar",
          meaning=node("float_shape.size"), integer=node("integer_elementwise.shape_op")),
    OpDef("Range", tuple(Operand(n, "T", NUMBER) for n in ("start", "limit", "step")), sized_by=(0, 1, 2),
          traits=frozenset({t.GROWS}), attributes={"stash_type": ignored(flag(1))}, shape="shape_rules_movement.range_",
          meaning=node("float_shape.range_")),
    OpDef("ConstantOfShape", (IN,), (Output("y", "=value", "f32"),), {"value": array()},
          frozenset({t.GROWS, t.MASK_ARITHMETIC}), sized_by=(0,), shape="shape_rules_movement.constant_of_shape",
          meaning=node("float_shape.constant_of_shape")),
    OpDef("Cast", (IN,), (Output("y", "=to"),), {"to": required(word(*DTYPES))}, frozenset({t.STEP, t.MASK_ARITHMETIC}),
          shape="shape_rules.same", meaning=node("float_shape.cast_"), float_kernel=form("to"),
          lower_float="lower_truths.cast"),
)  # fmt: skip
