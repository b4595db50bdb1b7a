"""Nodes that stand for one node of another domain, in forms of standard ops that the model's opset has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...graph import Array


class UnknownTypeError(ValueError):
    """A type is not known that decides what a node becomes."""


class Body:
    """What a node becomes. types: of the values whose type is known. prefix: of names that the graph does not have.
    constants: values that are known before the model runs."""

    def __init__(
        self, node: onnx.NodeProto, opset: int, types: Mapping[str, onnx.TypeProto.Tensor], prefix: str,
        constants: Mapping[str, onnx.TensorProto] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.constants = constants
        self.node, self.opset, self.types, self.prefix = node, opset, types, prefix
        given = {types[i].elem_type for i in node.input if i in types}
        reals = {onnx.TensorProto.FLOAT16: np.float16, onnx.TensorProto.DOUBLE: np.float64}
        self.real: type = next((reals[t] for t in reals if t in given), np.float32)  # the dtype of its floats
        self.nodes: list[onnx.NodeProto] = []
        self._attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}

    def attribute(self, name: str, default: Any) -> Any:
        """The value of an attribute, bytes as text."""
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def given(self, names: Sequence[str]) -> dict[str, Any]:
        """The attributes of these names that the node has."""
        return {n: self.attribute(n, None) for n in names if n in self._attributes}

    def input(self, index: int) -> str:
        """The name of an input, "" where it is omitted."""
        return self.node.input[index] if index < len(self.node.input) else ""

    def value(self, name: str) -> Array | None:
        """The elements of a value that is known before the model runs."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def rank(self, value: str) -> int:
        """Raises UnknownTypeError where the rank of a value is not known."""
        if value not in self.types or not self.types[value].HasField("shape"):
            raise UnknownTypeError(f"a value of unknown rank, {value!r},")
        return len(self.types[value].shape.dim)

    def constant(self, value: Any, dtype: type | None = None) -> str:
        """A tensor; of the node's floats where no dtype is given."""
        name = f"{self.prefix}{len(self.nodes)}"
        tensor = numpy_helper.from_array(np.asarray(value, dtype or self.real), name)
        self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def op(self, name: str, *inputs: str, **attributes: Any) -> str:
        """A node of one output, which it returns."""
        made = f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(helper.make_node(name, list(inputs), [made], name=made, **attributes))
        return made

    def gives(self, index: int, value: str) -> None:
        """The output of the node with an index is this value, where it is read at all."""
        if index < len(self.node.output) and self.node.output[index]:
            self.nodes.append(
                helper.make_node("Identity", [value], [self.node.output[index]], name=f"{self.prefix}y{index}")
            )

    def is_asked(self, index: int) -> bool:
        """Whether an output is read."""
        return index < len(self.node.output) and bool(self.node.output[index])

    def reduce(self, name: str, x: str, *axes: int, keepdims: int = 1) -> str:
        """A reduction over some axes: since opset 18 (ReduceSum: 13) they are an input."""
        if self.opset >= (13 if name == "ReduceSum" else 18):
            return self.op(name, x, self.ints(*axes), keepdims=keepdims)
        return self.op(name, x, axes=list(axes), keepdims=keepdims)

    def size(self, x: str, axis: int) -> str:
        """The size of an axis, int64 [1]."""
        return self.op("Gather", self.op("Shape", x), self.ints(axis), axis=0)

    def split(self, x: str, *sizes: str) -> list[str]:
        """Parts of the last axis, of sizes int64 [1]."""
        parts, start = [], self.ints(0)
        for size in sizes:
            end = self.op("Add", start, size)
            parts.append(self.part(x, start, end, -1))
            start = end
        return parts

    def floats(self, x: str) -> str:
        """Integers as the node's floats."""
        return self.op("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(self.real)))

    def unsqueezed(self, x: str, axis: int, rank: int) -> str:
        """With an axis of size 1 before the one with this number. rank: of x."""
        sizes = [self.size(x, k) for k in range(rank)]
        return self.reshape(x, *sizes[:axis], 1, *sizes[axis:])

    def count(self, size: str) -> str:
        """0, 1, ... below a size, int64."""
        start, step = self.constant(0, np.int64), self.constant(1, np.int64)
        return self.op("Range", start, self.op("Reshape", size, self.constant([], np.int64)), step)

    def part(self, x: str, start: str | int, end: str | int, axis: int) -> str:
        """Elements from start to before end. Raises ValueError before opset 10, where bounds are no inputs."""
        if self.opset < 10:
            raise ValueError(f"a part of a tensor in opset {self.opset}")
        bounds = (b if isinstance(b, str) else self.ints(b) for b in (start, end))
        return self.op("Slice", x, *bounds, self.ints(axis))

    def reshape(self, x: str, *sizes: str | int) -> str:
        """Sizes as numbers (0: as in x, -1: what is left) or values int64 [1]."""
        if all(isinstance(s, int) for s in sizes):
            return self.op("Reshape", x, self.constant(sizes, np.int64))
        parts = [s if isinstance(s, str) else self.ints(s) for s in sizes]
        return self.op("Reshape", x, self.op("Concat", *parts, axis=0))

    def swapped(self, x: str, a: int, b: int) -> str:
        """With two axes, counted from the end, exchanged."""
        perm = list(range(self.rank(x)))
        perm[a], perm[b] = perm[b], perm[a]
        return self.op("Transpose", x, perm=perm)

    def scaled(self, x: str, factor: float) -> str:
        return x if factor == 1 else self.op("Mul", x, self.constant(factor))

    def plus(self, x: str, *terms: str) -> str:
        """The sum of x and those of the terms that are given."""
        for t in filter(None, terms):
            x = self.op("Add", x, t)
        return x


def with_outputs_of(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes without Identities at their end: whoever computes what these pass on writes their outputs."""
    makers = {n.output[0]: n for n in nodes}
    kept = list(nodes)
    for n in [n for n in nodes if n.op_type == "Identity"]:
        maker = makers.get(n.input[0])
        if maker is None or maker.op_type == "Identity" or sum(n.input[0] in m.input for m in nodes) > 1:
            continue
        maker.output[0] = n.output[0]
        makers[n.output[0]] = maker
        kept.remove(n)
    return kept
