"""The table of integer meanings: INTEGER[op](node, inputs, input_types, output_types) -> outputs, exact to the bit."""

from __future__ import annotations

from collections.abc import Callable

from ..graph import Array, Node, TensorType
from ..graph.registry import enters

IntegerOp = Callable[[Node, list[Array | None], list[TensorType | None], list[TensorType]], list[Array]]
INTEGER: dict[str, IntegerOp] = {}
integer_op = enters(INTEGER)  # the integer meaning of ops; equation numbers refer to docs/quantization.md
