"""A DenseNet: Huang et al. (2017), with the growth and bottlenecks of DenseNet-121 and fewer layers; what it tests is
concatenation."""

from __future__ import annotations

import onnx

from .builder import Builder

GROWTH = 32
BLOCKS = (4, 6, 8, 6)


def densenet() -> onnx.ModelProto:
    b = Builder()
    x = b.relu(b.conv("input", 3, 64, 7, 2))
    x, width = b.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), 64
    for stage, layers in enumerate(BLOCKS):
        for _ in range(layers):
            y = b.relu(b.conv(x, width, 4 * GROWTH, 1))
            x = b.add("Concat", x, b.relu(b.conv(y, 4 * GROWTH, GROWTH, 3)), axis=1)
            width += GROWTH
        if stage < len(BLOCKS) - 1:
            x = b.relu(b.conv(x, width, width // 2, 1))
            x, width = b.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), width // 2
    return b.classifier(x, width, "densenet")
