"""Dtypes of a node's values by the declaration of its op: which operands have one, and which the outputs have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..ops import OPS, Operand
from ..ops.traits import SAME_DTYPE
from .graph import Node
from .types import DType, TensorType

_FIXED = {k.value: k for k in DType}


def operands_of(node: Node) -> Iterator[tuple[int, str, Operand]]:
    """The inputs that a node has: place, name, and what its op declares of it."""
    declared = OPS.get(node.op)
    if declared is None:
        return
    last = len(declared.operands) - 1
    for k, name in enumerate(node.inputs):
        if name:
            yield k, name, declared.operands[min(k, last)]


def mixed_dtypes(node: Node, types: Mapping[str, TensorType]) -> str | None:
    """What is wrong where operands that are computed with each other, or moved into one value, differ in dtype."""
    groups: dict[str, list[str]] = {}
    for k, name, operand in operands_of(node):
        t = types.get(name)
        if t is None or not operand.dtype:
            continue
        fixed = _FIXED.get(operand.dtype)
        if fixed is None:
            groups.setdefault(operand.dtype, []).append(name)
        elif t.dtype is not fixed:
            return f"expected operand {k} of dtype {fixed.value}, got {t.dtype.value}"
    for names in groups.values():
        if len(names) == 1:
            continue
        dtypes = list(dict.fromkeys(types[i].dtype for i in names))
        if len(dtypes) > 1 and (node.has(SAME_DTYPE) or not any(types[i].is_quantized for i in names)):
            return f"expected operands of one dtype, got {', '.join(k.value for k in dtypes)}"
    return None


def dtype_made(node: Node, place: int, inputs: Sequence[TensorType | None]) -> DType | None:
    """The dtype of an output that is not quantized; None where the declaration of its op does not say. A quantized
    input counts as float32, which it stands for."""
    declared = OPS.get(node.op)
    if declared is None:
        return None
    output = declared.outputs[min(place, len(declared.outputs) - 1)]
    if output.dtype in _FIXED:
        return _FIXED[output.dtype]
    if output.dtype == "=to":
        return DType.of(np.dtype(node.attr("to")))
    if output.dtype == "=value":
        value = node.attr("value")
        return DType(output.without) if value is None else DType.of(np.asarray(value).dtype)
    for k, _, operand in operands_of(node):
        t = inputs[k] if k < len(inputs) else None
        if operand.dtype == output.dtype and output.dtype and t is not None:
            return DType.F32 if t.is_quantized else t.dtype
    return DType(output.without) if output.without else None
