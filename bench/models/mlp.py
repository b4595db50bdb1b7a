"""A multilayer perceptron: 784 to 1024 to 1024 to 512 to 10, one row; what it tests is memory bandwidth of weights."""

from __future__ import annotations

from itertools import pairwise

import onnx

from .builder import Builder

WIDTHS = (784, 1024, 1024, 512, 10)


def mlp() -> onnx.ModelProto:
    b = Builder()
    x = "input"
    for k, (inputs, outputs) in enumerate(pairwise(WIDTHS)):
        x = b.gemm(x if k == 0 else b.relu(x), inputs, outputs)
    return b.finish("mlp", [1, WIDTHS[0]], x, [1, WIDTHS[-1]])
