"""EfficientNet-B0: Tan and Le (2019), table 1; depthwise blocks with squeeze-and-excite, swish throughout."""

from __future__ import annotations

import onnx

from .builder import Builder

BLOCKS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Rows of (expansion, channels, repeats, first stride, kernel)."""


def _excite(b: Builder, x: str, channels: int, squeezed: int) -> str:
    s = b.swish(b.conv(b.add("GlobalAveragePool", x), channels, squeezed, 1))
    return b.add("Mul", x, b.add("Sigmoid", b.conv(s, squeezed, channels, 1)))


def efficientnet_b0() -> onnx.ModelProto:
    b = Builder()
    x, width = b.swish(b.conv("input", 3, 32, 3, 2)), 32
    for expansion, c, repeats, first, kernel in BLOCKS:
        for k in range(repeats):
            stride, inner = (1 if k else first), width * expansion
            y = x if expansion == 1 else b.swish(b.conv(x, width, inner, 1, gain=3))
            y = b.swish(b.conv(y, inner, inner, kernel, stride, inner, gain=3))
            y = b.conv(_excite(b, y, inner, max(1, width // 4)), inner, c, 1, gain=6)
            x = b.add("Add", y, x) if stride == 1 and width == c else y
            width = c
    return b.classifier(b.swish(b.conv(x, width, 1280, 1)), 1280, "efficientnet_b0")
