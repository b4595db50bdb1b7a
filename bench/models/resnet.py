"""ResNet-50 and ResNet-18: He et al., Deep Residual Learning (2015), table 1."""

from __future__ import annotations

import onnx

from .builder import Builder

STAGES_50 = ((3, 64), (4, 128), (6, 256), (3, 512))
"""Rows of (repeats, bottleneck channels)."""
STAGES_18 = ((2, 64), (2, 128), (2, 256), (2, 512))
"""Rows of (repeats, channels)."""


def _stem(b: Builder) -> str:
    x = b.relu(b.conv("input", 3, 64, 7, 2))
    return b.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)


def resnet50() -> onnx.ModelProto:
    b = Builder()
    x, width = _stem(b), 64
    for stage, (repeats, c) in enumerate(STAGES_50):
        for k in range(repeats):
            stride = 2 if stage and not k else 1
            shortcut = x if k else b.conv(x, width, 4 * c, 1, stride, gain=0.5)
            y = b.relu(b.conv(x, width, c, 1))
            y = b.relu(b.conv(y, c, c, 3, stride))
            x = b.relu(b.add("Add", b.conv(y, c, 4 * c, 1, gain=0.5), shortcut))
            width = 4 * c
    return b.classifier(x, width, "resnet50")


def resnet18() -> onnx.ModelProto:
    b = Builder()
    x, width = _stem(b), 64
    for stage, (repeats, c) in enumerate(STAGES_18):
        for k in range(repeats):
            stride = 2 if stage and not k else 1
            shortcut = x if stride == 1 and width == c else b.conv(x, width, c, 1, stride, gain=0.5)
            y = b.relu(b.conv(x, width, c, 3, stride))
            x = b.relu(b.add("Add", b.conv(y, c, c, 3, gain=0.5), shortcut))
            width = c
    return b.classifier(x, width, "resnet18")
