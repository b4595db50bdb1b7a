"""A small builder of ONNX graphs with seeded random weights: speed does not depend on what a network has learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Appends layers to one ONNX graph; each method returns its output's name. Weights keep activations near unit
    variance."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(seed)

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        out = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], out, **attributes))
        return out

    def constant(self, value: np.ndarray | float) -> str:
        return self._weight(np.asarray(value, np.float32))

    def integers(self, *values: int) -> str:
        return self._weight(np.array(values, np.int64))

    def constant_index(self, value: int) -> str:
        return self._weight(np.array(value, np.int64))

    def _weight(self, array: np.ndarray) -> str:
        name = f"w_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def conv(
        self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, gain: float = 1.5
    ) -> str:
        """A padded square convolution with bias."""
        fan = inputs // groups * kernel * kernel
        w = self.constant(self.rng.normal(0, np.sqrt(gain / fan), (outputs, inputs // groups, kernel, kernel)))
        b = self.constant(self.rng.normal(0, 0.05, outputs))
        pads = [kernel // 2] * 4
        return self.add("Conv", x, w, b, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=groups)

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        """MatMul and Add, as exporters write a linear layer of sequences."""
        y = self.add("MatMul", x, self.constant(self.rng.normal(0, inputs**-0.5, (inputs, outputs))))
        return self.add("Add", y, self.constant(self.rng.normal(0, 0.02, outputs)))

    def gemm(self, x: str, inputs: int, outputs: int) -> str:
        w = self.constant(self.rng.normal(0, np.sqrt(1.5 / inputs), (outputs, inputs)))
        return self.add("Gemm", x, w, self.constant(self.rng.normal(0, 0.02, outputs)), transB=1)

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def relu6(self, x: str) -> str:
        return self.add("Clip", x, self.constant(0), self.constant(6))

    def swish(self, x: str) -> str:
        return self.add("Mul", x, self.add("Sigmoid", x))

    def gelu(self, x: str) -> str:
        """By Erf, as exporters write it."""
        erf = self.add("Erf", self.add("Div", x, self.constant(2**0.5)))
        return self.add("Mul", self.add("Mul", x, self.add("Add", erf, self.constant(1))), self.constant(0.5))

    def layer_norm(self, x: str, width: int) -> str:
        return self.add("LayerNormalization", x, self.constant(np.ones(width)), self.constant(np.zeros(width)), axis=-1)

    def classifier(self, x: str, features: int, name: str) -> onnx.ModelProto:
        """Global average, linear to 1000, and the finished model of a 224 x 224 picture."""
        x = self.gemm(self.add("Flatten", self.add("GlobalAveragePool", x), axis=1), features, 1000)
        return self.finish(name, [1, 3, 224, 224], x, [1, 1000])

    def finish(self, name: str, inputs: Sequence[int], output: str, outputs: Sequence[int]) -> onnx.ModelProto:
        """The model with one float input, "input"."""
        graph = helper.make_graph(
            self.nodes, name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, list(inputs))],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, list(outputs))],
            self.weights,
        )  # fmt: skip
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
