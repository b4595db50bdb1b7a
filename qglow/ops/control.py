"""Select, and the nodes that carry operators without a definition here."""

from __future__ import annotations

from .definition import FROM_DATA, OpDef, Operand, Output
from .shorthand import X, Y, node

ONNX = "Onnx"  # a node of an operator that has no definition here; onnx's own reference evaluates it, or refuses to
SELECT = "Select"

OPS = (
    OpDef(SELECT, (Operand("condition"), X, Y), (Output("z"),), typing="select",
          meaning=node("float_elementwise.select"), integer=node("integer_elementwise.move")),
    OpDef(ONNX, (Operand("x", optional=True, variadic=True),), (Output("y...", ""),), sized_by=FROM_DATA, typing="free",
          open_attributes=True),
)  # fmt: skip
