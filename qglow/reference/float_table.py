"""The table of float meanings: FLOAT[op](node, inputs) -> outputs. Each family is a file; importing it fills the table."""

from __future__ import annotations

from collections.abc import Callable

from ..graph import Array, Node

FloatOp = Callable[[Node, list[Array | None]], list[Array]]
FLOAT: dict[str, FloatOp] = {}


def float_op(*names: str) -> Callable[[FloatOp], FloatOp]:
    """Register the float meaning of ops (newest-opset ONNX semantics)."""

    def register(function: FloatOp) -> FloatOp:
        for name in names:
            FLOAT[name] = function
        return function

    return register
