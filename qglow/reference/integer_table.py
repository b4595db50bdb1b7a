"""The table of integer meanings: INTEGER[op](node, inputs, input_types, output_types) -> outputs, exact to the bit."""

from __future__ import annotations

from collections.abc import Callable

from ..graph import Array, Node, TensorType

IntegerOp = Callable[[Node, list[Array | None], list[TensorType | None], list[TensorType]], list[Array]]
INTEGER: dict[str, IntegerOp] = {}


def integer_op(*names: str) -> Callable[[IntegerOp], IntegerOp]:
    """Register the integer meaning of ops; equation numbers refer to docs/quantization.md."""

    def register(function: IntegerOp) -> IntegerOp:
        for name in names:
            INTEGER[name] = function
        return function

    return register
