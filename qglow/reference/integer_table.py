"""Integer meanings by op: INTEGER[op](node, inputs, input_types, output_types) -> outputs, exact to the bit."""

from __future__ import annotations

from collections.abc import Callable

from ..graph import Array, Node, TensorType
from ..ops import OpDef
from .lookup import Meanings, function_of

IntegerOp = Callable[[Node, list[Array | None], list[TensorType | None], list[TensorType]], list[Array]]


def _integer_op(row: OpDef, field: str) -> IntegerOp:
    function: IntegerOp = function_of(getattr(row, field))
    return function


INTEGER: Meanings[IntegerOp] = Meanings("integer", _integer_op)  # equation numbers refer to docs/quantization.md
