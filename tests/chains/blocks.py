"""Blocks of ONNX nodes that take a value [2, 4, 6, 6] to another of that shape: any chain of them is a model.

What one block leaves, a layout, a border, a view, a part of a concatenation, the next one has to read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import NodeProto, helper

N, C, S = 2, 4, 6
Block = Callable[["Builder", str], str]
BLOCKS: dict[str, Block] = {}


class Builder:
    """Nodes and constants of one model. Names are fresh; random constants follow from the seed."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.rng = np.random.default_rng(seed)

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"v{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=f"{op}_{len(self.nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def weight(self, *shape: int, fan: int = 8) -> str:
        return self.constant(self.rng.normal(0, 1 / np.sqrt(fan), shape))


def block(function: Block) -> Block:
    BLOCKS[function.__name__] = function
    return function


def of_op(name: str, op: str, **attributes: Any) -> None:
    """A block of one op without constants."""
    BLOCKS[name] = lambda b, x: b.node(op, x, **attributes)


of_op("relu", "Relu")
of_op("leaky_relu", "LeakyRelu", alpha=0.2)
of_op("sigmoid", "Sigmoid")
of_op("tanh", "Tanh")
of_op("hard_swish", "HardSwish")
of_op("softmax_last", "Softmax", axis=-1)
of_op("softmax_channels", "Softmax", axis=1)
of_op("max_pool", "MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
of_op("max_pool_uneven", "MaxPool", kernel_shape=[2, 3], pads=[0, 1, 1, 1])
of_op("average_pool", "AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
of_op("average_pool_with_pads", "AveragePool", kernel_shape=[3, 2], pads=[1, 0, 1, 1], count_include_pad=1)
of_op("swap_rows_and_columns", "Transpose", perm=[0, 1, 3, 2])


@block
def conv(b: Builder, x: str) -> str:
    return b.node("Conv", x, b.weight(C, C, 3, 3, fan=20), b.weight(C), pads=[1, 1, 1, 1])


@block
def conv_of_one_pixel(b: Builder, x: str) -> str:
    return b.node("Conv", x, b.weight(C, C, 1, 1, fan=C))


@block
def conv_uneven(b: Builder, x: str) -> str:
    return b.node("Conv", x, b.weight(C, C, 2, 4, fan=20), pads=[0, 2, 1, 1])


@block
def conv_dilated(b: Builder, x: str) -> str:
    return b.node("Conv", x, b.weight(C, C, 3, 3, fan=20), pads=[2, 2, 2, 2], dilations=[2, 2])


@block
def conv_of_groups(b: Builder, x: str) -> str:
    return b.node("Conv", x, b.weight(C, 2, 3, 3, fan=12), pads=[1, 1, 1, 1], group=2)


@block
def depthwise(b: Builder, x: str) -> str:
    return b.node("Conv", x, b.weight(C, 1, 3, 3, fan=6), pads=[1, 1, 1, 1], group=C)


@block
def conv_of_a_line(b: Builder, x: str) -> str:
    line = b.node("Reshape", x, b.ints(N, C, S * S))
    return b.node("Reshape", b.node("Conv", line, b.weight(C, C, 3, fan=9), pads=[1, 1]), b.ints(N, C, S, S))


@block
def conv_transposed(b: Builder, x: str) -> str:
    return b.node("ConvTranspose", x, b.weight(C, C, 3, 3, fan=20), pads=[1, 1, 1, 1])


@block
def down_and_up(b: Builder, x: str) -> str:
    half = b.node("Conv", x, b.weight(C, C, 3, 3, fan=20), pads=[1, 1, 1, 1], strides=[2, 2])
    return b.node("ConvTranspose", half, b.weight(C, C, 2, 2, fan=4), strides=[2, 2])


@block
def matmul_columns(b: Builder, x: str) -> str:
    return b.node("MatMul", x, b.weight(S, S, fan=S))


@block
def matmul_rows(b: Builder, x: str) -> str:
    return b.node("MatMul", b.weight(S, S, fan=S), x)


@block
def matmul_of_itself(b: Builder, x: str) -> str:
    return b.node("Mul", b.node("MatMul", x, b.node("Transpose", x, perm=[0, 1, 3, 2])), b.constant(0.2))


@block
def matmul_channels(b: Builder, x: str) -> str:
    last = b.node("Transpose", x, perm=[0, 2, 3, 1])
    return b.node(
        "Transpose", b.node("Add", b.node("MatMul", last, b.weight(C, C, fan=C)), b.weight(C)), perm=[0, 3, 1, 2]
    )


@block
def gemm(b: Builder, x: str) -> str:
    made = b.node(
        "Gemm", b.node("Flatten", x), b.weight(C * S * S, C * S * S, fan=C * S * S), b.weight(C * S * S), transB=1
    )
    return b.node("Reshape", made, b.ints(0, C, S, S))


@block
def einsum(b: Builder, x: str) -> str:
    return b.node("Einsum", x, b.weight(S, S, fan=S), equation="nchw,wv->nchv")


@block
def layer_norm(b: Builder, x: str) -> str:
    return b.node("LayerNormalization", x, b.weight(S, fan=1), b.weight(S), axis=-1, epsilon=1e-3)


@block
def instance_norm(b: Builder, x: str) -> str:
    return b.node("InstanceNormalization", x, b.weight(C, fan=1), b.weight(C), epsilon=1e-3)


@block
def batch_norm(b: Builder, x: str) -> str:
    variance = b.constant(b.rng.uniform(0.5, 2, C))
    return b.node("BatchNormalization", x, b.weight(C, fan=1), b.weight(C), b.weight(C), variance)


@block
def prelu(b: Builder, x: str) -> str:
    return b.node("PRelu", x, b.constant(b.rng.uniform(0, 0.5, (C, 1, 1))))


@block
def clip(b: Builder, x: str) -> str:
    return b.node("Clip", x, b.constant(-0.7), b.constant(1.1))


@block
def add_itself_rolled(b: Builder, x: str) -> str:
    first, second = b.node("Split", x, b.ints(2, 4), outputs=2, axis=3)
    return b.node("Add", x, b.node("Concat", second, first, axis=3))


@block
def swap_channels(b: Builder, x: str) -> str:
    first, second = b.node("Split", x, b.ints(1, 3), outputs=2, axis=1)
    return b.node("Concat", second, first, axis=1)


@block
def two_convs_side_by_side(b: Builder, x: str) -> str:
    left = b.node("Conv", x, b.weight(1, C, 1, 1, fan=C))
    right = b.node("Relu", b.node("Conv", x, b.weight(3, C, 3, 3, fan=20), pads=[1, 1, 1, 1]))
    return b.node("Concat", left, right, axis=1)


@block
def cut_rows(b: Builder, x: str) -> str:
    upper = b.node("Slice", x, b.ints(0), b.ints(2), b.ints(2))
    lower = b.node("Slice", x, b.ints(5), b.ints(1), b.ints(2), b.ints(-1))
    return b.node("Concat", upper, lower, axis=2)


@block
def shuffle(b: Builder, x: str) -> str:
    groups = b.node("Transpose", b.node("Reshape", x, b.ints(N, 2, 2, S, S)), perm=[0, 2, 1, 3, 4])
    return b.node("Reshape", groups, b.ints(N, C, S, S))


@block
def depth_and_space(b: Builder, x: str) -> str:
    return b.node("DepthToSpace", b.node("SpaceToDepth", x, blocksize=2), blocksize=2, mode="CRD")


@block
def pad_and_conv(b: Builder, x: str) -> str:
    return b.node("Conv", b.node("Pad", x, b.ints(0, 0, 1, 0, 0, 0, 1, 2)), b.weight(C, C, 3, 3, fan=20))


@block
def nearest_and_max_pool(b: Builder, x: str) -> str:
    large = b.node("Resize", x, "", b.constant([1, 1, 2, 2]), mode="nearest")
    return b.node("MaxPool", large, kernel_shape=[2, 2], strides=[2, 2])


@block
def linear_and_average_pool(b: Builder, x: str) -> str:
    large = b.node("Resize", x, "", b.constant([1, 1, 2, 2]), mode="linear")
    return b.node("AveragePool", large, kernel_shape=[2, 2], strides=[2, 2])


@block
def gate(b: Builder, x: str) -> str:
    mean = b.node("GlobalAveragePool", x)
    return b.node("Mul", x, b.node("Sigmoid", b.node("Conv", mean, b.weight(C, C, 1, 1, fan=C), b.weight(C))))


@block
def minus_mean(b: Builder, x: str) -> str:
    return b.node("Sub", x, b.node("ReduceMean", x, b.ints(2, 3), keepdims=1))


@block
def over_largest(b: Builder, x: str) -> str:
    largest = b.node("ReduceMax", b.node("Abs", x), b.ints(1), keepdims=1)
    return b.node("Div", x, b.node("Add", largest, b.constant(1.0)))


@block
def residual(b: Builder, x: str) -> str:
    return b.node("Relu", b.node("Add", b.node("Conv", x, b.weight(C, C, 3, 3, fan=40), pads=[1, 1, 1, 1]), x))


@block
def gather(b: Builder, x: str) -> str:
    return b.node("Gather", x, b.ints(3, 0, 2, 1), axis=1)


@block
def where(b: Builder, x: str) -> str:
    mask = b.constant(b.rng.integers(0, 2, (S, S)), bool)
    return b.node("Where", mask, x, b.constant(0.5))


@block
def squeeze(b: Builder, x: str) -> str:
    return b.node("Squeeze", b.node("Relu", b.node("Unsqueeze", x, b.ints(2))), b.ints(2))


@block
def rows_as_batch(b: Builder, x: str) -> str:
    rows = b.node("Reshape", b.node("Transpose", x, perm=[0, 2, 1, 3]), b.ints(N * S, C, S))
    made = b.node("Reshape", b.node("MatMul", rows, b.weight(S, S, fan=S)), b.ints(N, S, C, S))
    return b.node("Transpose", made, perm=[0, 2, 1, 3])
