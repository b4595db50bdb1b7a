"""Every int8 kernel at zero points at the ends and in the middle of their range, of inputs and output: the reference's
bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from program_graphs import Net, feeds_of

from qglow.graph import Quant
from qglow.instructions.lower import lower
from qglow.instructions.program import Instruction
from qglow.reference import evaluate
from qglow.runtime import InferenceSession

Make = Callable[[Net, Quant, Quant], str]


def transposed(n: Net, x: Quant, y: Quant) -> str:
    w = n.constant("w", n.rng.integers(-127, 128, (4, 3, 3, 2)).astype(np.int8), Quant.per_tensor(0.004, 0))
    return n.op("ConvTranspose", (n.input(1, 4, 5, 6, quant=x), w), y, strides=(2, 1))


def with_a_zero_point(n: Net, x: Quant, y: Quant, *shape: int, **attributes: Any) -> str:
    """Weights that 8 bits do not hold once their zero point is taken away, which is as far from the middle as y's."""
    image = n.input(2, 6, *(5, 6, 7)[: len(shape) - 2], quant=x)
    w = n.constant("w", n.rng.integers(-128, 128, shape).astype(np.int8), Quant.per_tensor(0.004, y.z - 128))
    return n.op("Conv", (image, w), y, pads=(1,) * (2 * len(shape) - 4), **attributes)


def resized(n: Net, x: Quant, y: Quant) -> str:
    return n.op("Resize", (n.input(1, 3, 5, 4, quant=x), "", n.floats_of(1, 1, 2, 2)), y, mode="linear")


class Forms(Net):
    def floats_of(self, *values: float) -> str:
        return self.constant("f", np.array(values, np.float32))


NETS: dict[str, Make] = {
    "convolution": lambda n, x, y: n.conv(n.input(2, 5, 6, 7, quant=x), 9, (3, 3), 1, y, pads=(1, 1, 1, 1)),
    "in groups": lambda n, x, y: n.conv(n.input(1, 6, 6, 7, quant=x), 4, (3, 2), 2, y, pads=(1, 0, 1, 0),
    strides=(2, 2)),
    "depthwise": lambda n, x, y: n.conv(n.input(1, 6, 6, 7, quant=x), 6, (3, 3), 6, y, pads=(1, 1, 1, 1)),
    "transposed": transposed,
    "rows": lambda n, x, y: n.op("MatMul", (n.input(5, 9, quant=x), n.weights((9, 7), 1)), y),
    "gemm": lambda n, x, y: n.op("Gemm", (n.input(5, 9, quant=x), n.weights((7, 9), 0)), y, transB=1),
    "float rows": lambda n, x, y: n.op("MatMul", (n.input(5, 9, quant=x), n.weights((9, 7), 1)), None),
    "two": lambda n, x, y: n.op("MatMul", (n.input(2, 5, 9, quant=x),
    n.input(2, 9, 6, quant=Quant.per_tensor(0.03, 128))), y),
    "two, both of any": lambda n, x, y: n.op("MatMul", (n.input(3, 5, 19, quant=x), n.input(3, 19, 21, quant=y)), x),
    "two, turned": lambda n, x, y: n.op("MatMul", (n.input(5, 70, quant=x), n.op("Transpose",
    (n.input(21, 70, quant=y),), y, perm=(1, 0))), x),
    "weights": lambda n, x, y: with_a_zero_point(n, x, y, 5, 6, 3, 3),
    "weights, depthwise": lambda n, x, y: with_a_zero_point(n, x, y, 6, 1, 3, 3, group=6),
    "weights, long depthwise": lambda n, x, y: with_a_zero_point(n, x, y, 6, 1, 5, 2, group=6, strides=(2, 1)),
    "weights, volume": lambda n, x, y: with_a_zero_point(n, x, y, 5, 6, 2, 3, 3),
    "add": lambda n, x, y: n.op("Add", (n.input(1, 3, 5, 4, quant=x), n.input(1, 3, 5, 4, quant=y)), y),
    "add a row": lambda n, x, y: n.op("Sub", (n.input(1, 3, 5, 4, quant=x), n.input(4, quant=y)), y),
    "mul": lambda n, x, y: n.op("Mul", (n.input(1, 3, 5, 4, quant=x), n.input(1, 3, 1, 1, quant=y)), y),
    "average": lambda n, x, y: n.op("AveragePool", (n.input(1, 3, 7, 6, quant=x),), y, kernel_shape=(3, 2),
    pads=(1, 1, 1, 0)),
    "maximum": lambda n, x, y: n.op("MaxPool", (n.input(1, 3, 7, 6, quant=x),), x, kernel_shape=(3, 2),
    pads=(1, 1, 1, 0)),
    "global average": lambda n, x, y: n.op("GlobalAveragePool", (n.input(1, 3, 7, 6, quant=x),), y),
    "mean": lambda n, x, y: n.op("ReduceMean", (n.input(3, 7, 6, quant=x), n.constant("a", np.array([1], np.int64))), y,
    keepdims=0),
    "resize": resized,
    "softmax": lambda n, x, y: n.softmax(n.input(4, 9, quant=x)),
    "norm": lambda n, x, y: n.layer_norm(n.input(4, 9, quant=x)),
    "quantize": lambda n, x, y: n.op("Quantize", (n.op("Dequantize", (n.input(3, 9, quant=x),), None),), y),
}  # fmt: skip


@pytest.mark.parametrize("form", NETS)
def test_zero_points(form: str) -> None:
    for zero, other in ((0, 255), (1, 1), (2, 0), (127, 128), (128, 127), (254, 2), (255, 254)):
        net = Forms(zero)
        y = NETS[form](net, Quant.per_tensor(0.02, zero), Quant.per_tensor(0.07, other))
        graph = net.graph(y)
        assert all(isinstance(s, Instruction) for s in lower(graph, "avx2").steps), zero
        feeds = feeds_of(graph, net.rng)
        assert np.array_equal(InferenceSession(graph, 1).run(None, feeds)[0], evaluate(graph, feeds)[y]), (zero, other)
