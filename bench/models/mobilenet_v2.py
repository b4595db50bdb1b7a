"""MobileNetV2: Sandler et al. (2018), table 2."""

from __future__ import annotations

import onnx

from .builder import Builder

BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Rows of (expansion, channels, repeats, first stride)."""


def mobilenet_v2() -> onnx.ModelProto:
    b = Builder()
    x, width = b.relu6(b.conv("input", 3, 32, 3, 2)), 32
    for expansion, c, repeats, first in BLOCKS:
        for k in range(repeats):
            stride, inner = (1 if k else first), width * expansion
            y = x if expansion == 1 else b.relu6(b.conv(x, width, inner, 1))
            y = b.conv(b.relu6(b.conv(y, inner, inner, 3, stride, inner)), inner, c, 1)
            x = b.add("Add", y, x) if stride == 1 and width == c else y
            width = c
    return b.classifier(b.relu6(b.conv(x, width, 1280, 1)), 1280, "mobilenet_v2")
