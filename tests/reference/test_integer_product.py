"""The integer products equal onnxruntime's QLinearConv and QLinearMatMul bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from qglow.graph import Array, DType, Node, Quant, TensorType
from qglow.reference import INTEGER


def run_onnxruntime(op: str, inputs: dict[str, Array], **attributes: Any) -> Array:
    """Output of one quantized ONNX op; every input but `x` is an initializer."""
    node = helper.make_node(op, list(inputs), ["y"], **attributes)
    x = inputs["x"]
    elem = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", elem, x.shape)],
        [helper.make_tensor_value_info("y", elem, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in inputs.items() if n != "x"],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


CONVS = [
    # channels, out, kernel, stride, dilation, group, size, pads
    (3, 8, (3, 3), (1, 1), (1, 1), 1, (9, 7), (1, 1, 1, 1)),
    (16, 24, (1, 1), (2, 2), (1, 1), 1, (8, 8), (0, 0, 0, 0)),
    (8, 8, (3, 3), (2, 1), (1, 1), 8, (10, 9), (0, 1, 1, 0)),
    (12, 18, (5, 3), (1, 2), (2, 1), 3, (15, 11), (2, 1, 3, 0)),
    (600, 4, (3, 3), (1, 1), (1, 1), 1, (5, 5), (1, 1, 1, 1)),
    (4, 5, (3,), (2,), (1,), 1, (17,), (1, 1)),
]


@pytest.mark.parametrize("zero_points", [(0, 0), (128, 3), (255, 200)])
@pytest.mark.parametrize("case", CONVS)
def test_conv_equals_onnxruntime(case: Any, zero_points: tuple[int, int]) -> None:
    channels, out, kernel, strides, dilations, group, size, pads = case
    rng = np.random.default_rng(channels)
    x = rng.integers(0, 256, (2, channels, *size)).astype(np.uint8)
    w = rng.integers(-127, 128, (out, channels // group, *kernel)).astype(np.int8)
    bias = rng.integers(-20000, 20000, out).astype(np.int32)
    s_w = rng.uniform(0.001, 0.02, out).astype(np.float32)
    s_x, s_y = np.float32(0.0173), np.float32(0.5 * np.sqrt(w[0].size) * 0.0173)
    zx, zy = zero_points
    attributes = {"strides": strides, "dilations": dilations, "group": group, "pads": pads, "kernel_shape": kernel}
    expected = run_onnxruntime(
        "QLinearConv",
        {"x": x, "xs": s_x, "xz": np.uint8(zx), "w": w, "ws": s_w, "wz": np.zeros(out, np.int8),
         "ys": s_y, "yz": np.uint8(zy), "b": bias},
        **attributes,
    )  # fmt: skip
    tx = TensorType(DType.U8, x.shape, Quant.per_tensor(s_x, zx))
    tw = TensorType(DType.I8, w.shape, Quant.per_axis(s_w, 0))
    ty = TensorType(DType.U8, None, Quant.per_tensor(s_y, zy))
    node = Node("Conv", ("x", "w", "b"), ("y",), attributes)
    assert np.array_equal(INTEGER["Conv"](node, [x, w, bias], [tx, tw, None], [ty])[0], expected)
    assert len(np.unique(expected)) > 10


@pytest.mark.parametrize("shape", [((7, 33), (33, 5)), ((2, 3, 64), (64, 16)), ((1, 1000), (1000, 10))])
@pytest.mark.parametrize("op", ["MatMul", "Gemm"])
def test_matmul_equals_onnxruntime(shape: tuple[tuple[int, ...], tuple[int, ...]], op: str) -> None:
    if op == "Gemm" and len(shape[0]) != 2:
        pytest.skip("Gemm takes matrices")
    rng = np.random.default_rng(1)
    x, w = rng.integers(0, 256, shape[0]).astype(np.uint8), rng.integers(-127, 128, shape[1]).astype(np.int8)
    s_w = np.float32(0.011)
    s_y = np.float32(0.02 * np.sqrt(shape[1][0]))
    expected = run_onnxruntime(
        "QLinearMatMul",
        {
            "x": x,
            "xs": np.float32(0.02),
            "xz": np.uint8(121),
            "w": w,
            "ws": s_w,
            "wz": np.int8(0),
            "ys": s_y,
            "yz": np.uint8(117),
        },
    )
    tx = TensorType(DType.U8, x.shape, Quant.per_tensor(0.02, 121))
    tw = TensorType(DType.I8, w.shape, Quant.per_tensor(s_w, 0))
    ty = TensorType(DType.U8, None, Quant.per_tensor(s_y, 117))
    assert np.array_equal(INTEGER[op](Node(op, ("x", "w"), ("y",)), [x, w], [tx, tw], [ty])[0], expected)


@pytest.mark.parametrize(("op", "w_shape"), [("ConvTranspose", (3000, 1, 1, 1)), ("Conv", (1, 3000, 1, 1))])
def test_sums_that_float32_does_not_hold_are_exact(op: str, w_shape: tuple[int, ...]) -> None:
    """Many large products; the output is their sum itself, less so much that a float32 holds what is left."""
    rng = np.random.default_rng(2)
    x, w = rng.integers(200, 256, (1, 3000, 2, 2)).astype(np.uint8), rng.integers(125, 128, w_shape).astype(np.int8)
    types = [
        TensorType(DType.U8, x.shape, Quant.per_tensor(1.0, 0)),
        TensorType(DType.I8, w.shape, Quant.per_tensor(1.0, 0)),
    ]
    sums = np.einsum("chw,c->hw", x[0].astype(np.int64), w.ravel().astype(np.int64))
    bias = -sums.ravel()[:1].astype(np.int32)
    node = Node(op, ("x", "w", "b"), ("y",), {"kernel_shape": (1, 1)})
    (y,) = INTEGER[op](node, [x, w, bias], [*types, None], [TensorType(DType.F32, None)])
    assert np.array_equal(y[0, 0], sums + bias)


@pytest.mark.parametrize("zeros", [(0, 0, 0), (3, -7, 100)])
@pytest.mark.parametrize("group", [1, 2, 4])
def test_transposed_convolutions_equal_onnxruntime_on_what_their_integers_stand_for(
    group: int, zeros: tuple[int, ...]
) -> None:
    """Scales are powers of two, so onnxruntime's sums of floats are exact."""
    rng = np.random.default_rng(group)
    x, w = rng.integers(0, 256, (2, 8, 4, 3)).astype(np.uint8), rng.integers(-127, 128, (8, 3, 3, 2)).astype(np.int8)
    bias, s_w = rng.integers(-2000, 2000, 3 * group).astype(np.int32), np.array([0.5, 2.0, 0.125], np.float32)
    attributes = {"group": group, "strides": (2, 1), "pads": (1, 0, 0, 1), "kernel_shape": (3, 2)}
    real = (x.astype(np.float32) - 9) * np.float32(0.25)
    real_w = (w - np.array(zeros).reshape(1, 3, 1, 1)).astype(np.float32) * s_w.reshape(1, 3, 1, 1)
    expected = run_onnxruntime(
        "ConvTranspose",
        {"x": real, "w": real_w, "b": (bias * 0.25 * np.tile(s_w, group)).astype(np.float32)},
        **attributes,
    )
    types = [
        TensorType(DType.U8, x.shape, Quant.per_tensor(0.25, 9)),
        TensorType(DType.I8, w.shape, Quant(tuple(s_w.tolist()), zeros, 1)),
        None,
    ]
    node = Node("ConvTranspose", ("x", "w", "b"), ("y",), attributes)
    (y,) = INTEGER["ConvTranspose"](node, [x, w, bias], types, [TensorType(DType.F32, None)])
    assert np.array_equal(y, expected)
