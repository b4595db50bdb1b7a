"""Float meanings by op: FLOAT[op](node, inputs) -> outputs.

FLOAT is what an op means. Products, sums and pools there are in whatever order is fast: their last bits are those of
the machine's BLAS and of numpy. EXACT has, for those ops, the law: IEEE operations in a fixed order, which compiled
kernels follow (docs/quantization.md). Every other op of FLOAT is its own law (docs/determinism.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import Array, Node
from ..ops import OpDef
from ..ops.shorthand import LIMITS
from .lookup import Meanings, function_of

FloatOp = Callable[[Node, list[Array | None]], list[Array]]


def _float_op(row: OpDef, field: str) -> FloatOp:
    meaning = getattr(row, field)
    function: Callable[..., Any] = function_of(meaning)
    if meaning.takes == "node":
        return function
    parameters = [name for name in row.attributes if name not in LIMITS]
    count = len(row.operands)

    def run(node: Node, inputs: list[Array | None]) -> list[Array]:
        missing = next((k for k in range(count) if k >= len(inputs) or inputs[k] is None), None)
        if missing is not None:
            raise ValueError(f"input {missing} is missing")
        return [np.asarray(function(*inputs[:count], *(node.attr(name) for name in parameters)))]

    return run


FLOAT: Meanings[FloatOp] = Meanings("meaning", _float_op)  # newest-opset ONNX semantics
STRICT_FLOAT: Meanings[FloatOp] = Meanings("strict", _float_op)  # the law of ops on floats

HALF, SINGLE = np.dtype(np.float16), np.dtype(np.float32)


def strict_meaning(op: str, inputs: list[Array | None]) -> FloatOp:
    """The meaning of an op that has one law for its bits: that of EXACT where there is one and an input is a float.

    float16 is computed as float32, and what comes of it rounded once.
    """
    floats = {a.dtype for a in inputs if a is not None and a.dtype.kind == "f"}
    if op not in STRICT_FLOAT or not floats:
        return FLOAT[op]
    return _in_single(STRICT_FLOAT[op]) if HALF in floats and floats <= {HALF, SINGLE} else STRICT_FLOAT[op]


def _in_single(law: FloatOp) -> FloatOp:
    def run(node: Node, inputs: list[Array | None]) -> list[Array]:
        first = next(a.dtype for a in inputs if a is not None and a.dtype.kind == "f")
        wide = [a.astype(SINGLE) if a is not None and a.dtype == HALF else a for a in inputs]
        return [y.astype(first) if y.dtype == SINGLE else y for y in law(node, wide)]

    return run
