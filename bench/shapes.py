"""Networks with the shapes of well-known ones and random weights: speed does not depend on what they have learned."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MOBILENET_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Rows of (expansion, channels, repeats, first stride): Sandler et al., MobileNetV2 (2018), table 2."""
RESNET_50 = ((3, 64), (4, 128), (6, 256), (3, 512))
"""Rows of (repeats, bottleneck channels): He et al., Deep Residual Learning (2015), table 1."""


class Builder:
    """Appends layers to one ONNX graph; each method returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(0)

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        out = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], out, **attributes))
        return out

    def constant(self, array: np.ndarray) -> str:
        name = f"w_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> str:
        fan = inputs // groups * kernel * kernel
        w = self.constant(self.rng.normal(0, np.sqrt(1.5 / fan), (outputs, inputs // groups, kernel, kernel)))
        b = self.constant(self.rng.normal(0, 0.05, outputs))
        pads = [kernel // 2] * 4
        return self.add("Conv", x, w, b, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=groups)

    def relu6(self, x: str) -> str:
        return self.add("Clip", x, self.constant(np.float32(0)), self.constant(np.float32(6)))

    def classifier(self, x: str, features: int, name: str) -> onnx.ModelProto:
        """Global average, linear to 1000, and the finished model."""
        x = self.add("Flatten", self.add("GlobalAveragePool", x), axis=1)
        w = self.constant(self.rng.normal(0, 0.02, (1000, features)))
        out = self.add("Gemm", x, w, self.constant(np.zeros(1000)), transB=1)
        graph = helper.make_graph(
            self.nodes, name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 224, 224])],
            [helper.make_tensor_value_info(out, TensorProto.FLOAT, [1, 1000])],
            self.weights,
        )  # fmt: skip
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def resnet50() -> onnx.ModelProto:
    b = Builder()
    x = b.add("Relu", b.conv("input", 3, 64, 7, 2))
    x = b.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    width = 64
    for stage, (repeats, c) in enumerate(RESNET_50):
        for k in range(repeats):
            stride = 2 if stage and not k else 1
            shortcut = x if k else b.conv(x, width, 4 * c, 1, stride)
            y = b.add("Relu", b.conv(x, width, c, 1))
            y = b.add("Relu", b.conv(y, c, c, 3, stride))
            x = b.add("Relu", b.add("Add", b.conv(y, c, 4 * c, 1), shortcut))
            width = 4 * c
    return b.classifier(x, width, "resnet50")


def mobilenet_v2() -> onnx.ModelProto:
    b = Builder()
    x, width = b.relu6(b.conv("input", 3, 32, 3, 2)), 32
    for expansion, c, repeats, first in MOBILENET_V2:
        for k in range(repeats):
            stride, inner = (1 if k else first), width * expansion
            y = x if expansion == 1 else b.relu6(b.conv(x, width, inner, 1))
            y = b.conv(b.relu6(b.conv(y, inner, inner, 3, stride, inner)), inner, c, 1)
            x = b.add("Add", y, x) if stride == 1 and width == c else y
            width = c
    return b.classifier(b.relu6(b.conv(x, width, 1280, 1)), 1280, "mobilenet_v2")


NETWORKS = {"resnet50": resnet50, "mobilenet_v2": mobilenet_v2}
