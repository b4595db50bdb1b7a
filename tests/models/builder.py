"""Builds ONNX models node by node, with the names, constants and idioms that exporters leave; weights are random and
reproducible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

Array = np.ndarray
Feeds = dict[str, Array]
Dims = Sequence[int | str]
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
LOWEST = float(np.finfo(np.float32).min)


@dataclass
class Case:
    """A model with inputs for calibration, and requests of other shapes; int8_db: what int8 must reach on each of
    them."""

    model: ModelProto
    seen: list[Feeds]
    others: list[Feeds] = field(default_factory=list)
    int8_db: float = 20.0


class Net:
    """Nodes and constants collected so far. Every method that adds a node returns the name of its output, or their
    names."""

    def __init__(self, seed: int, opset: int = 17) -> None:
        self.rng, self.opset = np.random.default_rng(seed), opset
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []
        self._names: Iterator[int] = iter(range(1_000_000))

    def input(self, name: str, shape: Dims, kind: int = FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, value: str, name: str, shape: Dims, kind: int = FLOAT) -> None:
        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"/output/{name}"))
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def op(self, op: str, *inputs: str, **attributes: object) -> str:
        return self.ops(op, *inputs, count=1, **attributes)[0]

    def ops(self, op: str, *inputs: str, count: int, **attributes: object) -> list[str]:
        """A node with so many outputs."""
        k = next(self._names)
        outputs = [f"/layers/{op}_{k}_output_{j}" for j in range(count)]
        self.nodes.append(helper.make_node(op, list(inputs), outputs, name=f"/layers/{op}_{k}", **attributes))
        return outputs

    def initializer(self, array: object, dtype: type = np.float32) -> str:
        name = f"onnx::Const_{next(self._names)}"
        self.constants[name] = np.asarray(array, dtype)
        return name

    def ints(self, *values: int) -> str:
        """An int64 vector, as an initializer."""
        return self.initializer(values, np.int64)

    def constant(self, array: object, dtype: type = np.float32) -> str:
        """A Constant node, as torch's scripting exporter writes them."""
        return self.op("Constant", value=numpy_helper.from_array(np.asarray(array, dtype)))

    def weight(self, *shape: int, scale: float | None = None) -> str:
        """Normal noise, by default of a variance that keeps that of the activations: 1 / (inputs of an output)."""
        fan_in = int(np.prod(shape[1:] if len(shape) > 2 else shape[:1]))
        return self.initializer(self.rng.normal(0, scale if scale is not None else fan_in**-0.5, shape))

    def noise(self, *shape: int, scale: float = 1.0) -> Array:
        return self.rng.normal(0, scale, shape).astype(np.float32)

    def model(self) -> ModelProto:
        stored = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, "main_graph", self.inputs, self.outputs, stored)
        made = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9 if self.opset < 21 else 10
        )
        checker.check_model(made)
        return made

    # Layers

    def linear(self, x: str, inputs: int, outputs: int, bias: bool = True) -> str:
        """MatMul and Add, as torch writes a Linear of three dimensions."""
        h = self.op("MatMul", x, self.weight(inputs, outputs))
        return self.op("Add", self.weight(outputs, scale=0.1), h) if bias else h

    def gemm(self, x: str, inputs: int, outputs: int) -> str:
        """Gemm with a transposed weight, as torch writes a Linear of two dimensions."""
        w = self.initializer(self.rng.normal(0, inputs**-0.5, (outputs, inputs)))
        return self.op("Gemm", x, w, self.weight(outputs, scale=0.1), alpha=1.0, beta=1.0, transB=1)

    def conv(
        self, x: str, inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, group: int = 1, bias: bool = True
    ) -> str:
        w = self.weight(outputs, inputs // group, kernel, kernel)
        more = [self.weight(outputs, scale=0.1)] if bias else []
        return self.op("Conv", x, w, *more, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4,
            group=group,
                       dilations=[1, 1])  # fmt: skip

    def batch_norm(self, x: str, channels: int) -> str:
        scale, bias, mean = (self.initializer(self.rng.normal(m, 0.1, channels)) for m in (1, 0, 0))
        return self.op(
            "BatchNormalization",
            x,
            scale,
            bias,
            mean,
            self.initializer(self.rng.uniform(0.5, 1.5, channels)),
            epsilon=1e-5,
        )

    def layer_norm(self, x: str, size: int, *, spelled: bool | None = None, epsilon: float = 1e-5) -> str:
        """The op, or (spelled; always below opset 17) ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add."""
        gain, bias = (self.initializer(self.rng.normal(m, 0.1, size)) for m in (1, 0))
        if not (self.opset < 17 if spelled is None else spelled):
            return self.op("LayerNormalization", x, gain, bias, axis=-1, epsilon=epsilon)
        centred = self.op("Sub", x, self.mean(x, [-1]))
        square = self.op("Pow", centred, self.constant(2.0))
        deviation = self.op("Sqrt", self.op("Add", self.mean(square, [-1]), self.constant(epsilon)))
        return self.op("Add", self.op("Mul", self.op("Div", centred, deviation), gain), bias)

    def mean(self, x: str, axes: Sequence[int], keepdims: int = 1) -> str:
        if self.opset < 18:
            return self.op("ReduceMean", x, axes=list(axes), keepdims=keepdims)
        return self.op("ReduceMean", x, self.ints(*axes), keepdims=keepdims)

    def unsqueeze(self, x: str, *axes: int) -> str:
        return (
            self.op("Unsqueeze", x, axes=list(axes)) if self.opset < 13 else self.op("Unsqueeze", x, self.ints(*axes))
        )

    def squeeze(self, x: str, *axes: int) -> str:
        return self.op("Squeeze", x, axes=list(axes)) if self.opset < 13 else self.op("Squeeze", x, self.ints(*axes))

    def slice(self, x: str, start: int | str, end: int | str, axis: int, step: int = 1) -> str:
        """start, end: a number, or the name of a vector of one."""
        first, last = (v if isinstance(v, str) else self.constant([v], np.int64) for v in (start, end))
        return self.op("Slice", x, first, last, self.constant([axis], np.int64), self.constant([step], np.int64))

    def dimension(self, x: str, axis: int, vector: bool = True) -> str:
        """The size of x along an axis: Shape and Gather. vector: with one element, else a scalar."""
        size = self.op("Gather", self.op("Shape", x), self.constant(axis, np.int64), axis=0)
        return self.unsqueeze(size, 0) if vector else size

    def reshape(self, x: str, *dims: int | str) -> str:
        """dims: numbers, and names of vectors of one."""
        if all(isinstance(d, int) for d in dims):
            return self.op("Reshape", x, self.constant(dims, np.int64))
        parts = [d if isinstance(d, str) else self.constant([d], np.int64) for d in dims]
        return self.op("Reshape", x, self.op("Concat", *parts, axis=0))

    def gelu(self, x: str, spelling: str = "erf") -> str:
        """spelling: erf (torch), tanh (the approximation), op (opset 20)."""
        if spelling == "op":
            return self.op("Gelu", x)
        if spelling == "erf":
            inner = self.op("Erf", self.op("Div", x, self.constant(1.4142135381698608)))
            return self.op("Mul", self.op("Mul", x, self.op("Add", inner, self.constant(1.0))), self.constant(0.5))
        cube = self.op("Mul", self.op("Pow", x, self.constant(3.0)), self.constant(0.044715))
        inner = self.op("Tanh", self.op("Mul", self.op("Add", x, cube), self.constant(0.7978845608028654)))
        return self.op("Mul", self.op("Mul", x, self.constant(0.5)), self.op("Add", inner, self.constant(1.0)))

    def split_heads(self, x: str, heads: int, size: int, batch: int | str = 0, length: int | str = -1) -> str:
        """[B, S, heads * size] -> [B, heads, S, size]."""
        return self.op("Transpose", self.reshape(x, batch, length, heads, size), perm=[0, 2, 1, 3])

    def merge_heads(self, x: str, width: int, batch: int | str = 0, length: int | str = -1) -> str:
        return self.reshape(self.op("Transpose", x, perm=[0, 2, 1, 3]), batch, length, width)

    def attend(self, q: str, k: str, v: str, size: int, mask: str | None = None) -> str:
        """Softmax(q k^T / sqrt(size) + mask) v of [B, heads, S, size]."""
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = self.op("Div", scores, self.constant(float(np.sqrt(size))))
        if mask is not None:
            scores = self.op("Add", scores, mask)
        return self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
