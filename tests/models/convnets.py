"""Convolutional classifiers: each family's own block, with the activations, gates, shuffles and joins that set it
apart."""

from __future__ import annotations

import numpy as np

from .builder import Case, Net


def pictures(n: Net, *shapes: tuple[int, int, int]) -> list[dict[str, np.ndarray]]:
    return [{"image": n.noise(b, 3, h, w)} for b, h, w in shapes]


def case(n: Net, x: str, channels: int, *, free: bool = False) -> Case:
    """Global average, Flatten, Gemm. free: pictures of other sizes too."""
    pooled = n.op("Flatten", n.op("GlobalAveragePool", x), axis=1)
    n.output(n.gemm(pooled, channels, 10), "logits", ["batch", 10])
    others = pictures(n, (2, 16, 16), (3, 16, 16), *([(1, 24, 20), (2, 12, 12)] if free else []))
    return Case(n.model(), pictures(n, *[(1, 16, 16)] * 8), others)


def start(seed: int, opset: int, channels: int, free: bool = True) -> tuple[Net, str]:
    n = Net(seed, opset)
    x = n.input("image", ["batch", 3, "height", "width"] if free else ["batch", 3, 16, 16])
    return n, n.op("Relu", n.batch_norm(n.conv(x, 3, channels, 3, bias=False), channels))


def convnext() -> Case:
    """A depthwise 7x7, LayerNorm over channels that lie last, two products, a gain a channel, and back."""
    n, x = start(41, 17, 16)
    for _ in range(2):
        h = n.op("Transpose", n.conv(x, 16, 16, 7, group=16), perm=[0, 2, 3, 1])
        h = n.linear(n.gelu(n.linear(n.layer_norm(h, 16), 16, 48)), 48, 16)
        h = n.op("Mul", n.initializer(n.rng.normal(0.5, 0.1, 16)), h)
        x = n.op("Add", x, n.op("Transpose", h, perm=[0, 3, 1, 2]))
    return case(n, x, 16, free=True)


def convnext_channels_first() -> Case:
    """The same norm spelled out over axis 1."""
    n, x = start(42, 13, 16)
    centred = n.op("Sub", x, n.mean(x, [1]))
    variance = n.mean(n.op("Pow", centred, n.constant(2.0)), [1])
    h = n.op("Div", centred, n.op("Sqrt", n.op("Add", variance, n.constant(1e-6))))
    h = n.op("Add", n.op("Mul", n.initializer(n.rng.normal(1, 0.1, (16, 1, 1))), h), n.weight(16, 1, 1, scale=0.1))
    return case(n, n.op("Relu", n.conv(h, 16, 16)), 16, free=True)


def efficientnet(opset: int) -> Case:
    """Swish as x * Sigmoid(x), squeeze and excitation, depthwise with stride, residual."""
    n, x = start(43, opset, 16)
    for stride in (1, 2):
        h = n.batch_norm(n.conv(x, 16, 32, 1, bias=False), 32)
        h = n.op("Mul", h, n.op("Sigmoid", h))
        h = n.batch_norm(n.conv(h, 32, 32, 3, stride=stride, group=32, bias=False), 32)
        h = n.op("Mul", h, n.op("Sigmoid", h))
        gate = n.conv(n.mean(h, [2, 3]), 32, 8, 1)
        gate = n.conv(n.op("Mul", gate, n.op("Sigmoid", gate)), 8, 32, 1)
        h = n.batch_norm(n.conv(n.op("Mul", n.op("Sigmoid", gate), h), 32, 16, 1, bias=False), 16)
        x = n.op("Add", h, x) if stride == 1 else h
    return case(n, x, 16, free=True)


def mobilenet_v3(opset: int) -> Case:
    """HardSwish as the op (14) or x * Clip(x + 3, 0, 6) / 6; HardSigmoid gates."""
    n, x = start(45, opset, 16)

    def swish(h: str) -> str:
        if opset >= 14:
            return n.op("HardSwish", h)
        bounds = [n.constant(0.0), n.constant(6.0)]
        return n.op("Div", n.op("Mul", h, n.op("Clip", n.op("Add", h, n.constant(3.0)), *bounds)), n.constant(6.0))

    h = swish(n.conv(x, 16, 32, 1))
    h = n.conv(h, 32, 32, 5, group=32)
    gate = n.conv(n.op("Relu", n.conv(n.op("GlobalAveragePool", h), 32, 8, 1)), 8, 32, 1)
    h = swish(n.op("Mul", h, n.op("HardSigmoid", gate, alpha=1 / 6, beta=0.5)))
    return case(n, n.op("Add", x, n.conv(h, 32, 16, 1)), 16, free=True)


def shufflenet() -> Case:
    """Halves by Split, one through convolutions, Concat, and channels shuffled by Reshape and Transpose, batch from the
    shape."""
    n, x = start(47, 11, 16)
    for _ in range(2):
        left, right = n.ops("Split", x, count=2, axis=1, split=[8, 8])
        h = n.op("Relu", n.conv(right, 8, 8, 1))
        h = n.op("Relu", n.conv(n.conv(h, 8, 8, 3, group=8), 8, 8, 1))
        x = n.op("Concat", left, h, axis=1)
        batch, rows, columns = (n.dimension(x, k) for k in (0, 2, 3))
        parts = n.op("Transpose", n.reshape(x, batch, 2, 8, rows, columns), perm=[0, 2, 1, 3, 4])
        x = n.reshape(parts, batch, 16, rows, columns)
    return case(n, x, 16, free=True)


def regnet() -> Case:
    n, x = start(49, 17, 32)
    h = n.op("Relu", n.conv(x, 32, 32, 1))
    h = n.op("Relu", n.conv(h, 32, 32, 3, group=4, stride=2))
    gate = n.op("Sigmoid", n.conv(n.op("Relu", n.conv(n.op("GlobalAveragePool", h), 32, 8, 1)), 8, 32, 1))
    h = n.conv(n.op("Mul", gate, h), 32, 32, 1)
    return case(n, n.op("Relu", n.op("Add", n.conv(x, 32, 32, 1, stride=2), h)), 32, free=True)


def densenet() -> Case:
    """BatchNorm and Relu before convolutions; every layer reads all before it; a transition with AveragePool."""
    n, x = start(51, 12, 8)
    width, parts = 8, [x]
    for _ in range(3):
        whole = n.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
        h = n.conv(n.op("Relu", n.batch_norm(whole, width)), width, 16, 1)
        parts.append(n.conv(n.op("Relu", n.batch_norm(h, 16)), 16, 4))
        width += 4
    h = n.conv(n.op("Relu", n.batch_norm(n.op("Concat", *parts, axis=1), width)), width, 16, 1)
    return case(n, n.op("AveragePool", h, kernel_shape=[2, 2], strides=[2, 2]), 16, free=True)


def prelu_net() -> Case:
    """PReLU with a slope a channel, then a Gemm over all of a Flatten, as face embeddings end, and their length divided
    out."""
    n, x = start(53, 13, 16, free=False)
    for _ in range(2):
        h = n.op("PRelu", n.conv(x, 16, 16), n.initializer(n.rng.uniform(0.05, 0.5, (16, 1, 1))))
        x = n.op("Add", x, n.conv(h, 16, 16))
    flat = n.reshape(n.op("MaxPool", x, kernel_shape=[4, 4], strides=[4, 4]), n.dimension(x, 0), -1)
    e = n.gemm(flat, 256, 16)
    length = n.op("Clip", n.op("ReduceL2", e, axes=[1], keepdims=1), n.constant(1e-12))
    n.output(n.op("Div", e, n.op("Expand", length, n.op("Shape", e))), "embedding", ["batch", 16])
    return Case(n.model(), pictures(n, *[(1, 16, 16)] * 8), pictures(n, (2, 16, 16), (5, 16, 16)))


CASES = {
    "convnext": convnext,
    "convnext_channels_first": convnext_channels_first,
    "efficientnet_11": lambda: efficientnet(11),
    "efficientnet_18": lambda: efficientnet(18),
    "mobilenet_v3_11": lambda: mobilenet_v3(11),
    "mobilenet_v3_17": lambda: mobilenet_v3(17),
    "shufflenet": shufflenet,
    "regnet": regnet,
    "densenet": densenet,
    "prelu_net": prelu_net,
}
