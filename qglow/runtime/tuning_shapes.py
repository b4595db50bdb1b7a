"""Products as they are common in networks, one graph each: what a machine's cost model is learned from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..graph import DType, Graph, GraphBuilder, Quant, TensorType

Shape = tuple[int, ...]
# input side, input channels, output channels, kernel side, stride
CONVOLUTIONS = (
    (224, 3, 32, 3, 2), (112, 32, 16, 1, 1), (112, 16, 96, 1, 1), (56, 64, 64, 3, 1), (56, 64, 64, 1, 1),
    (56, 64, 256, 1, 1),
    (56, 256, 64, 1, 1), (56, 24, 144, 1, 1), (56, 128, 128, 3, 2), (32, 16, 16, 3, 1), (28, 128, 128, 3, 1),
    (28, 128, 512, 1, 1),
    (28, 512, 128, 1, 1), (28, 512, 1024, 1, 2), (28, 32, 192, 1, 1), (16, 32, 32, 3, 1), (14, 256, 256, 3, 1),
    (14, 256, 1024, 1, 1),
    (14, 1024, 256, 1, 1), (14, 96, 576, 1, 1), (14, 576, 96, 1, 1), (8, 64, 64, 3, 1), (7, 512, 512, 3, 1),
    (7, 512, 2048, 1, 1),
    (7, 2048, 512, 1, 1), (7, 960, 160, 1, 1), (7, 320, 1280, 1, 1),
)  # fmt: skip
MATRICES = ((16, 384, 384), (16, 1536, 384), (128, 384, 384), (128, 384, 1536), (128, 1536, 384), (197, 192, 768),
    (512, 384, 1536),
            (1, 1024, 1000), (1, 2048, 1000), (1024, 1024, 1024))  # fmt: skip
FLOAT_MATRICES = (
    (1, 1024, 1000),
    (16, 384, 384),
    (64, 576, 64),
    (128, 384, 384),
    (196, 256, 512),
    (784, 128, 128),
    (3136, 64, 64),
)
SCALE = Quant.per_tensor(0.02, 128)


def tuning_products() -> Iterator[Graph]:
    """Graphs of one convolution or matrix product each, with random weights and biases: u8 in and out, or of floats."""
    rng = np.random.default_rng(0)
    for side, c, oc, k, stride in CONVOLUTIONS:
        pad = k // 2
        out = (side + 2 * pad - k) // stride + 1
        attributes = {"strides": (stride, stride), "pads": (pad,) * 4}
        yield _graph("Conv", (1, c, side, side), (oc, c, k, k), (1, oc, out, out), attributes, rng)
    for m, k, n in FLOAT_MATRICES:
        yield _float_graph((m, k), (k, n), rng)
    for m, k, n in MATRICES:
        yield _graph("Gemm", (m, k), (n, k), (m, n), {"transB": 1}, rng)


def _graph(
    op: str, x: Shape, w: Shape, y: Shape, attributes: Mapping[str, int | Shape], rng: np.random.Generator
) -> Graph:
    b = GraphBuilder()
    image = b.fresh("x")
    b.types[image] = TensorType(DType.U8, x, SCALE)
    weights = b.add_constant(
        "w",
        rng.integers(-127, 128, w).astype(np.int8),
        TensorType(DType.I8, w, Quant.per_axis(np.full(w[0], 0.001, np.float32), 0)),
    )
    bias = b.add_constant("b", rng.integers(-999, 999, w[0]).astype(np.int32))
    return b.build(
        op, (image,), (b.add(op, (image, weights, bias), TensorType(DType.U8, y, SCALE), "y", **attributes),)
    )


def _float_graph(x: Shape, w: Shape, rng: np.random.Generator) -> Graph:
    b = GraphBuilder()
    matrix = b.fresh("x")
    b.types[matrix] = TensorType(DType.F32, x)
    weights = b.add_constant("w", rng.normal(0, 0.1, w).astype(np.float32))
    return b.build("MatMul", (matrix,), (b.add("MatMul", (matrix, weights), TensorType(DType.F32, (x[0], w[1])), "y"),))
