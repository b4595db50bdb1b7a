"""Select, and the nodes that carry operators without a definition here."""

from __future__ import annotations

from .definition import FROM_DATA, OpDef, Operand, Output
from .shorthand import X, Y, node

ONNX = "Onnx"  # a node of an operator that has no definition here; onnx's own reference evaluates it, or refuses to
SELECT = "Select"
# Operators of such nodes that give other values each time, or whose bodies may
NEW_EACH_TIME = frozenset({
    "Bernoulli", "Dropout", "If", "Loop", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike", "Scan", "SequenceMap",
})  # fmt: skip

OPS = (
    OpDef(SELECT, (Operand("condition"), X, Y), (Output("z"),), typing="select",
          meaning=node("float_elementwise.select"), integer=node("integer_elementwise.move")),
    OpDef(ONNX, (Operand("x", optional=True, variadic=True),), (Output("y...", ""),), sized_by=FROM_DATA, typing="free",
          open_attributes=True),
)  # fmt: skip
