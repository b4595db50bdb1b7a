"""Sequences of tensors: Python lists, which live between nodes on the host. They are no inputs or outputs of a graph.

onnx.reference inserts at the front what belongs behind the last element, and takes no index of shape [1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Array

Attributes = Mapping[str, Any]


def _construct(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Any]:
    return [_of_one_dtype([x for x in inputs if x is not None])]


def _empty(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Any]:
    return [[]]


def _at(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Any]:
    return [inputs[0][_position(inputs[1], len(inputs[0]))]]


def _length(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Any]:
    return [np.array(len(inputs[0]), np.int64)]


def _insert(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Any]:
    values, tensor, position = (*inputs, None)[:3]
    place = len(values) if position is None else _position(position, len(values), behind=1)
    return [_of_one_dtype([*values[:place], tensor, *values[place:]])]


def _erase(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Any]:
    values, position = (*inputs, None)[:2]
    place = _position(np.array(-1) if position is None else position, len(values))
    return [[*values[:place], *values[place + 1 :]]]


def _split(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Any]:
    """Parts along an axis: of the sizes given, of one size but the last, or of 1; then keepdims says whether the axis
    stays."""
    x, sizes = (*inputs, None)[:2]
    axis = int(attributes["axis"])
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis {axis} of a tensor of rank {x.ndim}")
    total = x.shape[axis]
    if sizes is None:
        parts = [x.take([k], axis) for k in range(total)]
        return [parts if attributes["keepdims"] else [p.squeeze(axis) for p in parts]]
    if not attributes["keepdims"]:
        raise ValueError("keepdims = 0 where sizes are given: ONNX ignores it, onnxruntime does not")
    if (np.asarray(sizes) < (1 if sizes.ndim == 0 else 0)).any():
        raise ValueError(f"parts of sizes {sizes.tolist()}")
    ends = np.arange(int(sizes), total + int(sizes), int(sizes)) if sizes.ndim == 0 else np.cumsum(sizes)
    if sizes.ndim and int(sizes.sum()) != total:
        raise ValueError(f"parts of sizes {sizes.tolist()} of an axis of {total}")
    return [[np.ascontiguousarray(p) for p in np.split(x, ends[:-1], axis)] if len(ends) else []]


def _concat(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Any]:
    axis = int(attributes["axis"])
    return [np.stack(inputs[0], axis) if attributes["new_axis"] else np.concatenate(inputs[0], axis)]


def _of_one_dtype(values: list[Array]) -> list[Array]:
    if len({v.dtype for v in values}) > 1:
        raise ValueError(f"a sequence of tensors of several dtypes, {sorted({str(v.dtype) for v in values})}")
    return values


def _position(index: Array, length: int, behind: int = 0) -> int:
    """An index, negative ones from the end. behind: by how many places it may lie beyond the last element."""
    if index.size != 1:
        raise ValueError(f"an index of shape {list(index.shape)}")
    k = int(index.reshape(-1)[0])
    if not -length <= k < length + behind:
        raise ValueError(f"index {k} in a sequence of {length}")
    return k + length if k < 0 else k


MEANINGS: dict[str, Callable[[Attributes, Sequence[Any], int], list[Any]]] = {
    "SequenceConstruct": _construct, "SequenceEmpty": _empty, "SequenceInsert": _insert, "SequenceErase": _erase,
    "SequenceAt": _at,
    "SequenceLength": _length, "SplitToSequence": _split, "ConcatFromSequence": _concat,
}  # fmt: skip
MAKERS = frozenset({"SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceErase", "SplitToSequence"})
# their first input
READERS = frozenset({"SequenceInsert", "SequenceErase", "SequenceAt", "SequenceLength", "ConcatFromSequence"})


def fault_of_reads(
    op: str, domain: str, inputs: Sequence[str], captured: Iterable[str], sequences: set[str]
) -> str | None:
    """What is wrong with the sequences that a node reads: only some operators take one, as the first input, and those
    take nothing else."""
    reader = op in READERS and domain in ("", "ai.onnx")
    if reader and inputs[0] not in sequences:
        return f"{inputs[0]!r} is not made by an operator of sequences"
    strange = [i for i in (*inputs[1 if reader else 0 :], *captured) if i in sequences]
    return f"{strange[0]!r} is a sequence; only operators of sequences may read it" if strange else None
