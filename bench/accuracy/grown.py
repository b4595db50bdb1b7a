"""What grows the models of `made.py` that are hard for int8, each in its own way, with seeds: filters are principal
components of what they read, the last layer is trained by least squares. `tools/train_models.py` stores them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto

from tests.trained import families
from tests.trained.net import Net

Array = np.ndarray
F32 = np.float32
CALIBRATED, STEPS = 24, 20


def outliers() -> onnx.ModelProto:
    """A few hidden channels are 60 times as large as the others, as in large transformers; nothing needs that."""
    net, labels = families.start(17, 31)
    x = net.op("Flatten", "image")
    for planted in (3, 2):
        y = net.linear(x, 64)
        large = np.ones(64, F32)
        large[net.rng.choice(64, planted, replace=False)] = 60
        y = net.op("Mul", net.op("Relu", y), net.constant(large))
        x = net.op("LayerNormalization", y, net.constant(1 / large), net.floats(*np.zeros(64)), axis=-1)
    return families.scores(net, net.classifier(x, labels))


def unequal() -> onnx.ModelProto:
    """Channels whose ranges differ by a factor of 1000, evened out by the next weights."""
    net, labels = families.start(13, 32)
    x = "image"
    for width, stride in ((16, 1), (24, 2), (32, 2), (48, 1)):
        x = net.op("Relu", net.conv(x, width, stride=stride, norm=False))
    features = net.classifier(net.op("Flatten", net.op("GlobalAveragePool", x), axis=1), labels)
    products = [n for n in net.nodes if n.op_type in ("Conv", "Gemm")]
    for node, reader in zip(products, products[1:], strict=False):
        w, b, v = (net.constants[name] for name in (*node.input[1:], reader.input[1]))
        spread = (2.0 ** net.rng.uniform(-5, 5, len(b))).astype(F32)
        net.constants[node.input[1]] = w * spread.reshape(-1, 1, 1, 1)
        net.constants[node.input[2]] = b * spread
        net.constants[reader.input[1]] = v / spread.reshape(-1, *(1,) * (v.ndim - 2))
    return families.scores(net, features)


def lit_digits() -> tuple[Array, Array]:
    """Pictures whose brightness is log-normal, and what they show."""
    pictures, labels = families.digits(16)
    bright = np.exp(np.random.default_rng(33).normal(0, 1, (len(pictures), 1, 1, 1))).astype(F32)
    return pictures * bright, labels


def heavy_tailed() -> onnx.ModelProto:
    """What comes is larger than what was seen."""
    lit, labels = lit_digits()
    net = Net(lit[:800], 17, 33)
    x = net.op("Relu", net.conv("image", 16, norm=False))
    x = net.op("Relu", net.conv(x, 24, stride=2, norm=False))
    x = net.op("GlobalAveragePool", net.op("Relu", net.conv(x, 48, stride=2, norm=False)))
    return families.scores(net, net.classifier(net.op("Flatten", x), labels[:800]))


def mlp() -> onnx.ModelProto:
    net, labels = families.start(13, 34, side=8)
    x = net.op("Flatten", "image")
    for width in (96, 64, 48):
        x = net.op("Relu", net.linear(x, width))
    return families.scores(net, net.classifier(x, labels))


def noisy_digits() -> tuple[Array, Array]:
    """Clean pictures and the same with noise."""
    clean, _ = families.digits(16)
    return clean, (clean + np.random.default_rng(35).normal(0, 0.25, clean.shape)).astype(F32)


def segmenter() -> onnx.ModelProto:
    """Which of its pixels belong to the digit, of a noisy picture: an encoder, a decoder, and a skip between them."""
    clean, noisy = noisy_digits()
    net = Net(noisy[:300], 13, 35)
    fine = net.op("Relu", net.conv("image", 12))
    coarse = net.op("Relu", net.conv(net.op("Relu", net.conv(fine, 24, stride=2)), 24, stride=2))
    up = net.op(
        "Resize",
        coarse,
        "",
        net.constant(np.array([1, 1, 4, 4], F32)),
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    x = net.op("Relu", net.conv(net.op("Concat", up, fine, axis=1), 24))
    rows = net.values(x).transpose(0, 2, 3, 1).reshape(-1, 24).astype(np.float64)
    wanted = (clean[:300].reshape(-1) > 0.4) * 2.0 - 1
    rows = np.concatenate([rows, np.ones((len(rows), 1))], 1)
    w = np.linalg.solve(rows.T @ rows + np.eye(25), rows.T @ wanted).astype(F32)
    out = net.op(
        "Conv", x, net.constant(w[:24].reshape(1, 24, 1, 1), "w"), net.constant(w[24:], "b"), kernel_shape=[1, 1]
    )
    return net.proto(out, kinds={out: (TensorProto.FLOAT, ["N", 1, 16, 16])})


def spectra(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Clean and noisy spectra [count, steps, bands] of 48 bands that fall off as speech does, 40 dB from the lowest to
    the highest, and how they fall off [bands]."""
    bands, count = 48, 200 + CALIBRATED + 60
    fall = (10 ** (-np.arange(bands) / bands * 2)).astype(F32)
    voiced = np.repeat(rng.random((count, STEPS // 4, 1)) < 0.6, 4, 1)
    shape = np.abs(rng.normal(0, 1, (count, STEPS, 6)) @ np.abs(rng.normal(0, 1, (6, bands))))
    clean = (voiced * shape * fall * np.exp(rng.normal(0, 0.5, (count, 1, 1)))).astype(F32)
    return clean, (clean + 0.3 * fall * np.abs(rng.normal(0, 1, clean.shape))).astype(F32), fall


def denoiser() -> onnx.ModelProto:
    """An LSTM and a mask, by which the noisy spectrum is multiplied; the layer of masks is trained."""
    rng, hidden = np.random.default_rng(36), 40
    clean, noisy, fall = spectra(rng)
    bands = len(fall)
    net = Net(noisy[:200], 14, 36, batch=1)
    x = net.op("Transpose", "image", perm=[1, 0, 2])
    w = (rng.normal(0, 0.5, (1, 4 * hidden, bands)) / (3 * fall)).astype(F32)
    r = rng.normal(0, 0.6 / np.sqrt(hidden), (1, 4 * hidden, hidden)).astype(F32)
    b = rng.normal(0, 0.2, (1, 8 * hidden)).astype(F32)
    y = net.op("LSTM", x, *(net.constant(a, h) for a, h in ((w, "w"), (r, "r"), (b, "b"))), hidden_size=hidden)
    y = net.op("Transpose", net.op("Squeeze", y, net.ints(1)), perm=[1, 0, 2])
    rows = net.values(y).reshape(-1, hidden).astype(np.float64)
    ideal = np.clip(clean[:200] / np.maximum(noisy[:200], 1e-6), 0.02, 0.98).reshape(-1, bands)
    rows = np.concatenate([rows, np.ones((len(rows), 1))], 1)
    found = np.linalg.solve(rows.T @ rows + np.eye(hidden + 1), rows.T @ np.log(ideal / (1 - ideal))).astype(F32)
    mask = net.op(
        "Sigmoid", net.op("Add", net.op("MatMul", y, net.constant(found[:-1], "w")), net.constant(found[-1], "b"))
    )
    out = net.op("Mul", mask, "image")
    return net.proto(out, kinds={out: (TensorProto.FLOAT, [1, STEPS, bands])})


GROWN: dict[str, Callable[[], onnx.ModelProto]] = {
    "outliers": outliers, "unequal": unequal, "heavy_tailed": heavy_tailed, "mlp": mlp, "segmenter": segmenter,
    "denoiser": denoiser,
}  # fmt: skip
