"""The tables of float meanings: FLOAT[op](node, inputs) -> outputs. Each family is a file; importing it fills the table.

FLOAT is what an op means, computed in whatever order is fast: the last bits of a product are those of the machine's BLAS. EXACT has, for
ops whose bits would depend on that, the law: float32 operations in a fixed order, which compiled kernels follow (docs/quantization.md).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import Array, Node
from ..graph.registry import enters

FloatOp = Callable[[Node, list[Array | None]], list[Array]]
FLOAT: dict[str, FloatOp] = {}
EXACT: dict[str, FloatOp] = {}
float_op = enters(FLOAT)  # the float meaning of ops: newest-opset ONNX semantics
exact_op = enters(EXACT)  # the law of ops on float32


def law_of(op: str, inputs: list[Array | None]) -> FloatOp:
    """The meaning of an op that has one law for its bits: that of EXACT where there is one and floats are float32."""
    floats = [a.dtype for a in inputs if a is not None and a.dtype.kind == "f"]
    return EXACT[op] if op in EXACT and floats and all(d == np.float32 for d in floats) else FLOAT[op]
