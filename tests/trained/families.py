"""Small trained models of each family, as exporters write them: classifiers of handwritten digits, and a detector."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from sklearn.datasets import load_digits

from .net import Array, Net

F32 = np.float32


@cache
def digits(side: int) -> tuple[Array, Array]:
    """Pictures float32 [1797, 1, side, side] of 0 to 1, and what they show; in a fixed random order."""
    data = load_digits()
    order = np.random.default_rng(7).permutation(len(data.target))
    small = (data.images[order, None] / 16).astype(F32)
    return np.ascontiguousarray(np.kron(small, np.ones((1, 1, side // 8, side // 8), F32))), data.target[order]


def start(opset: int, seed: int, side: int = 16, batch: str | int = "N", used: int = 800) -> tuple[Net, Array]:
    pictures, labels = digits(side)
    return Net(pictures[:used], opset, seed, batch), labels[:used]


def scores(net: Net, name: str, batch: Any = "N") -> onnx.ModelProto:
    return net.proto(name, kinds={name: (TensorProto.FLOAT, [batch, 10])})


def residual(norm: bool = True) -> onnx.ModelProto:
    """Two residual blocks, the second with a projection; opset 13. norm: BatchNormalization, else folded."""
    net, labels = start(13, 1)
    conv = partial(net.conv, norm=norm)
    x = net.op("Relu", conv("image", 16))
    y = net.op("Relu", conv(x, 16))
    x = net.op("Relu", net.op("Add", conv(y, 16), x))
    y = net.op("Relu", conv(x, 32, stride=2))
    x = net.op("Relu", net.op("Add", conv(y, 32), conv(x, 32, k=1, stride=2)))
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = net.op("GlobalAveragePool", net.op("Relu", conv(x, 48)))
    return scores(net, net.classifier(net.op("Flatten", x, axis=1), labels))


def hard_swish(net: Net, x: str) -> str:
    """As an exporter without the op writes it."""
    clipped = net.op("Clip", net.op("Add", x, net.floats(3.0)), net.floats(0.0), net.floats(6.0))
    return str(net.op("Div", net.op("Mul", x, clipped), net.floats(6.0)))


def depthwise() -> onnx.ModelProto:
    """Inverted residuals with clamps, squeeze and excitation, hard swish; opset 17, where axes are an attribute."""
    net, labels = start(17, 2)
    x = hard_swish(net, net.conv("image", 16, stride=2))
    for out, stride in ((16, 1), (24, 2), (24, 1)):
        width = net.values(x).shape[1]
        y = net.op("Clip", net.conv(x, 3 * width, k=1), net.floats(0.0), net.floats(6.0))
        y = net.op("Clip", net.conv(y, 3 * width, stride=stride, group=3 * width), net.floats(0.0), net.floats(6.0))
        if out == 24:
            squeezed = net.op("Relu", net.conv(net.op("GlobalAveragePool", y), 8, k=1, norm=False))
            y = net.op("Mul", y, net.op("HardSigmoid", net.conv(squeezed, 3 * width, k=1, norm=False), alpha=0.25))
        y = net.conv(y, out, k=1)
        x = net.op("Add", x, y) if stride == 1 and out == width else y
    x = hard_swish(net, net.conv(x, 64, k=1))
    x = net.op("ReduceMean", x, axes=[2, 3], keepdims=0)
    return scores(net, net.classifier(x, labels))


def shuffled(net: Net, x: str, channels: int) -> str:
    """Channels of two groups interleaved; the shape is computed, as a tracing exporter does."""
    sizes = net.op("Shape", x)
    parts = [
        net.op("Unsqueeze", net.op("Gather", sizes, net.constant(np.array(k)), axis=0), net.ints(0)) for k in (0, 2, 3)
    ]
    shape = net.op("Concat", parts[0], net.ints(2), net.ints(channels // 2), *parts[1:], axis=0)
    turned = net.op("Transpose", net.op("Reshape", x, shape), perm=[0, 2, 1, 3, 4])
    back = net.op("Concat", parts[0], net.ints(-1), *parts[1:], axis=0)
    return str(net.op("Reshape", turned, back))


def shuffle() -> onnx.ModelProto:
    """Channel shuffle: half of the channels go round the branch; by Split and by Slice; opset 13."""
    net, labels = start(13, 3)
    x = net.op("Relu", net.conv("image", 24, stride=2))
    for unit in range(3):
        if unit == 1:
            left = net.op("Slice", x, net.ints(0), net.ints(12), net.ints(1))
            right = net.op("Slice", x, net.ints(12), net.ints(2**63 - 1), net.ints(1))
        else:
            left, right = net.op("Split", x, net.ints(12, 12), outputs=2, axis=1)
        y = net.op("Relu", net.conv(right, 12, k=1))
        y = net.op("Relu", net.conv(net.conv(y, 12, group=12), 12, k=1))
        x = shuffled(net, net.op("Concat", left, y, axis=1), 24)
    x = net.op("GlobalAveragePool", net.op("Relu", net.conv(x, 64, k=1)))
    return scores(net, net.classifier(net.op("Reshape", x, net.ints(-1, 64)), labels, gemm=False))


def normalized(net: Net, x: str, width: int) -> str:
    gain, shift = (
        net.constant(net.rng.uniform(0.7, 1.3, width).astype(F32)),
        net.constant(net.rng.normal(0, 0.1, width).astype(F32)),
    )
    if net.opset >= 17:
        return str(net.op("LayerNormalization", x, gain, shift, axis=-1, epsilon=1e-5))
    centred = net.op("Sub", x, net.op("ReduceMean", x, axes=[-1]))
    var = net.op("ReduceMean", net.op("Pow", centred, net.floats(2.0)), axes=[-1])
    unit = net.op("Div", centred, net.op("Sqrt", net.op("Add", var, net.floats(1e-5))))
    return str(net.op("Add", net.op("Mul", unit, gain), shift))


def attention(net: Net, x: str, tokens: int, width: int, heads: int) -> str:
    def split(y: str, perm: list[int]) -> str:
        shape = net.ints(-1, tokens, heads, width // heads)
        return str(net.op("Transpose", net.op("Reshape", y, shape), perm=perm))

    q, k, v = (
        split(net.linear(x, width), [0, 2, 1, 3]),
        split(net.linear(x, width), [0, 2, 3, 1]),
        split(net.linear(x, width), [0, 2, 1, 3]),
    )
    weights = net.op(
        "Softmax", net.op("Div", net.op("MatMul", q, k), net.floats(float(np.sqrt(width // heads)))), axis=-1
    )
    mixed = net.op("Transpose", net.op("MatMul", weights, v), perm=[0, 2, 1, 3])
    return net.linear(net.op("Reshape", mixed, net.ints(-1, tokens, width)), width)


def gelu(net: Net, x: str) -> str:
    if net.opset >= 20:
        return str(net.op("Gelu", x))
    inner = net.op("Add", net.op("Erf", net.op("Div", x, net.floats(float(np.sqrt(2))))), net.floats(1.0))
    return str(net.op("Mul", net.op("Mul", x, inner), net.floats(0.5)))


def transformer(opset: int = 13, batch: str | int = "N") -> onnx.ModelProto:
    """Two encoder layers over 16 patches; opset 13 spells the normalization and the activation out."""
    net, labels = start(opset, 4, batch=batch)
    tokens, width = 16, 32
    patches = net.values("image").reshape(-1, 4, 4, 4, 4).transpose(0, 1, 3, 2, 4).reshape(-1, 16)
    w = net.filters(patches, width).reshape(width, 1, 4, 4)
    x = net.op("Conv", "image", net.constant(w, "w"), kernel_shape=[4, 4], strides=[4, 4])
    x = net.op("Transpose", net.op("Reshape", x, net.ints(-1, width, tokens)), perm=[0, 2, 1])
    x = net.op("Add", x, net.constant(net.rng.normal(0, 0.3, (1, tokens, width)).astype(F32)))
    for _ in range(2):
        x = net.op("Add", x, attention(net, normalized(net, x, width), tokens, width, 4))
        x = net.op("Add", x, net.linear(gelu(net, net.linear(normalized(net, x, width), 64)), width))
    x = net.op("Flatten", normalized(net, x, width))
    return scores(net, net.classifier(x, labels), batch)


def transformer_of_two() -> onnx.ModelProto:
    """A batch of two, which is fixed; opset 20 has the ops."""
    return transformer(20, 2)


def lstm() -> onnx.ModelProto:
    """Rows of the picture one after the other, both ways; opset 14."""
    net, labels = start(14, 5, side=8)
    x = net.op("Transpose", net.op("Squeeze", "image", net.ints(1)), perm=[1, 0, 2])
    hidden = 24
    w = net.rng.normal(0, 0.6, (2, 4 * hidden, 8)).astype(F32)
    r = net.rng.normal(0, 0.8 / np.sqrt(hidden), (2, 4 * hidden, hidden)).astype(F32)
    b = net.rng.normal(0, 0.2, (2, 8 * hidden)).astype(F32)
    names = (net.constant(a, h) for a, h in ((w, "w"), (r, "r"), (b, "b")))
    y = net.op("LSTM", x, *names, hidden_size=hidden, direction="bidirectional")
    y = net.op("Reshape", net.op("Transpose", y, perm=[2, 0, 1, 3]), net.ints(-1, 8 * 2 * hidden))
    return scores(net, net.classifier(y, labels))


def detector() -> onnx.ModelProto:
    """Two scales joined by Resize and Concat, and a head whose boxes are decoded in the model; opset 13."""
    net, _ = start(13, 6, side=32, batch=1, used=60)
    x = net.op("Relu", net.conv("image", 16, stride=2))
    fine = net.op("LeakyRelu", net.conv(x, 24, stride=2), alpha=0.1)
    coarse = net.op("LeakyRelu", net.conv(fine, 32, stride=2), alpha=0.1)
    up = net.op("Resize", net.conv(coarse, 24, k=1), "", net.constant(np.array([1, 1, 2, 2], F32)), mode="nearest",
                coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    joined = net.op("Relu", net.conv(net.op("Concat", up, fine, axis=1), 24))
    found = [decoded(net, net.conv(v, 15, k=1, norm=False), side, 32 // side) for v, side in ((joined, 8), (coarse, 4))]
    boxes = net.op("Concat", *(f[0] for f in found), axis=1)
    kinds = net.op("Concat", *(f[1] for f in found), axis=1)
    return net.proto(
        boxes, kinds, kinds={boxes: (TensorProto.FLOAT, [1, 80, 4]), kinds: (TensorProto.FLOAT, [1, 80, 10])}
    )


def decoded(net: Net, head: str, side: int, stride: int) -> tuple[str, str]:
    """Corners [1, side^2, 4] in pixels and class scores [1, side^2, 10] of a head with 15 channels."""
    rows = net.op("Transpose", net.op("Reshape", head, net.ints(-1, 15, side * side)), perm=[0, 2, 1])
    centre, size, sure, kinds = net.op("Split", rows, net.ints(2, 2, 1, 10), outputs=4, axis=2)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(1, -1, 2).astype(F32)
    middle = net.op("Mul", net.op("Add", net.op("Sigmoid", centre), net.constant(grid)), net.floats(float(stride)))
    half = net.op("Mul", net.op("Exp", net.op("Clip", size, net.floats(-4.0), net.floats(2.0))), net.floats(stride / 2))
    boxes = net.op("Concat", net.op("Sub", middle, half), net.op("Add", middle, half), axis=2)
    return boxes, net.op("Mul", net.op("Sigmoid", sure), net.op("Softmax", kinds, axis=2))


class Pictures:
    """Calibration data for onnxruntime's quantizer."""

    def __init__(self, samples: Iterable[dict[str, Array]]) -> None:
        self.samples = iter(samples)

    def get_next(self) -> dict[str, Array] | None:
        return next(self.samples, None)


def quantized() -> onnx.ModelProto:
    """The residual model as onnxruntime's static quantizer writes it, with QDQ nodes and a scale for each channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(Pictures, CalibrationDataReader):  # type: ignore[misc]
        pass

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "folded.onnx"), Path(folder, "quantized.onnx")
        onnx.save(residual(norm=False), source)
        quantize_static(source, target, Reader(feeds("residual", 32)), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)  # fmt: skip
        return onnx.load(target)


FAMILIES: dict[str, Callable[[], onnx.ModelProto]] = {
    "residual": residual, "depthwise": depthwise, "shuffle": shuffle, "transformer": transformer,
    "transformer_of_two": transformer_of_two,
    "lstm": lstm, "detector": detector,
}  # fmt: skip
QUANTIZED = "qdq"  # what onnxruntime made of the residual one
HELD_OUT = 1000  # the first picture that no model is trained on
SIDES = {"lstm": 8, "detector": 32}


def feeds(name: str, count: int) -> list[dict[str, Array]]:
    """Pictures that the model was not trained on, as its input."""
    pictures, _ = digits(SIDES.get(name, 16))
    batch = 2 if name.endswith("_of_two") else 1
    return [{"image": pictures[HELD_OUT + batch * k : HELD_OUT + batch * (k + 1)]} for k in range(count)]


def labels(name: str, count: int) -> Array:
    """What the pictures of `feeds` show, one row for each feed."""
    batch = 2 if name.endswith("_of_two") else 1
    return digits(8)[1][HELD_OUT : HELD_OUT + batch * count].reshape(count, batch)
