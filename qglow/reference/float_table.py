"""The table of float meanings: FLOAT[op](node, inputs) -> outputs. Each family is a file; importing it fills the table."""

from __future__ import annotations

from collections.abc import Callable

from ..graph import Array, Node
from ..graph.registry import enters

FloatOp = Callable[[Node, list[Array | None]], list[Array]]
FLOAT: dict[str, FloatOp] = {}
float_op = enters(FLOAT)  # the float meaning of ops: newest-opset ONNX semantics
