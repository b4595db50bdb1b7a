"""onnxruntime's operators on integers (domain com.microsoft), each as a model of one node: within one step of
onnxruntime, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.errors import ModelError
from qglow.onnx_import import load
from qglow.pipeline import float_graph
from qglow.reference import evaluate

DOMAIN = "com.microsoft"
RNG = np.random.default_rng(0)
A = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
IMAGE = RNG.integers(0, 256, (2, 3, 6, 5), dtype=np.uint8)
W = RNG.integers(-128, 128, (7, 4), dtype=np.int8)
BIAS = RNG.integers(-9999, 9999, 4, dtype=np.int32)
ROW = np.float32([0.002, 0.004, 0.001, 0.003])


def scale(value: float) -> np.ndarray:
    return np.float32(value)


def zero(value: int) -> np.ndarray:
    return np.uint8(value)


def model_of(op: str, given: list[Any], version: int, /, **attributes: Any) -> onnx.ModelProto:
    """Arrays of bytes are inputs, all else is constant; None is an input left out."""
    names = ["" if a is None else f"i{k}" for k, a in enumerate(given)]
    fed = {k for k, a in enumerate(given) if a is not None and np.ndim(a) > 1 and np.asarray(a).dtype == np.uint8}
    constants = [
        numpy_helper.from_array(np.asarray(a), names[k]) for k, a in enumerate(given) if a is not None and k not in fed
    ]
    inputs = [helper.make_tensor_value_info(names[k], TensorProto.UINT8, given[k].shape) for k in sorted(fed)]
    dims = [f"d{k}" for k in range(np.ndim(given[min(fed)]))]
    is_float = op == "QGemm" and len(given) < 8
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT if is_float else TensorProto.UINT8, dims)
    node = helper.make_node(op, names, ["y"], name="n", domain=DOMAIN, **attributes)
    imports = [helper.make_opsetid("", version), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(
        helper.make_graph([node], "g", inputs, [output], constants), opset_imports=imports, ir_version=8
    )


# the scale of a mask of the lowest float: 255 steps of it are infinite in float32
LOWEST = np.nextafter(np.float32(np.finfo(np.float32).max / 255), np.float32(np.inf))
TO = [scale(0.07), zero(120)]
X = [A, scale(0.03), zero(100)]
PICTURE = [IMAGE, scale(0.03), zero(90)]
CASES: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "Gemm": ("QGemm", [*X, W, scale(0.002), np.int8(0), BIAS, *TO], {}),
    "Gemm by channel": ("QGemm", [*X, W, ROW, np.zeros(4, np.int8), BIAS, *TO], {}),
    "Gemm by channel, bias of rows": ("QGemm", [*X, W, ROW, np.zeros(4, np.int8), np.tile(BIAS, (len(A), 1)), *TO], {}),
    "Gemm by channel, transB": ("QGemm", [*X, np.ascontiguousarray(W.T), ROW, np.zeros(4, np.int8), BIAS, *TO],
    {"transB": 1}),
    "Gemm, transA": ("QGemm", [np.ascontiguousarray(A.T), *X[1:], W, scale(0.002), np.int8(3), BIAS, *TO],
    {"transA": 1}),
    "Gemm, square, transA": ("QGemm", [A[:, :5], *X[1:], W[:5], scale(0.002), np.int8(0), BIAS, *TO], {"transA": 1}),
    "Gemm, alpha": ("QGemm", [*X, W, scale(0.002), np.int8(0), BIAS, *TO], {"alpha": 0.5}),
    "Gemm, alpha, transB": ("QGemm", [*X, np.ascontiguousarray(W.T), scale(0.002), np.int8(0), None, *TO],
    {"transB": 1, "alpha": 2.0}),
    "Gemm to floats": ("QGemm", [*X, W, scale(0.002), np.int8(0), BIAS], {}),
    "Gemm to floats, alpha": ("QGemm", [*X, W, scale(0.002), np.int8(0), BIAS], {"alpha": 0.5}),
    "Add": ("QLinearAdd", [*X, A[::-1], scale(0.05), zero(140), *TO], {}),
    "Add of a row": ("QLinearAdd", [*X, A[:1], scale(0.05), zero(140), *TO], {}),
    "Mul": ("QLinearMul", [*X, A[::-1], scale(0.05), zero(140), scale(0.1), zero(130)], {}),
    "Mul by the lowest float": ("QLinearMul", [A, scale(1 / 255), zero(0), A[::-1], LOWEST, zero(255), LOWEST,
    zero(255)], {}),
    "Add of the lowest float": ("QLinearAdd", [*X, A[::-1], LOWEST, zero(255), LOWEST, zero(255)], {}),
    "Sigmoid": ("QLinearSigmoid", [*X, scale(1 / 256), zero(0)], {}),
    "LeakyRelu": ("QLinearLeakyRelu", [*X, scale(0.02), zero(7)], {}),
    "LeakyRelu, alpha": ("QLinearLeakyRelu", [*X, scale(0.02), zero(60)], {"alpha": 0.3}),
    "Concat": ("QLinearConcat", [*TO, *X, A[:, :3], scale(0.05), zero(140)], {"axis": 1}),
    "Concat of rows": ("QLinearConcat", [*TO, *X, A[:2], scale(0.05), zero(140)], {"axis": 0}),
    "AveragePool": ("QLinearAveragePool", [*PICTURE, *TO], {"kernel_shape": [3, 2]}),
    "AveragePool, padded": ("QLinearAveragePool", [*PICTURE, *TO],
    {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 1]}),
    "AveragePool, ceil": ("QLinearAveragePool", [*PICTURE, *TO],
    {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "AveragePool, padding counts": (
        "QLinearAveragePool", [*PICTURE, *TO], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    ),
    "GlobalAveragePool": ("QLinearGlobalAveragePool", [*PICTURE, *TO], {"channels_last": 0}),
    "GlobalAveragePool, channels last": ("QLinearGlobalAveragePool", [*PICTURE, *TO], {"channels_last": 1}),
    "AveragePool, channels last": ("QLinearAveragePool", [*PICTURE, *TO],
    {"kernel_shape": [3, 2], "strides": [1, 2], "pads": [1, 0, 0, 1], "channels_last": 1}),
    "Softmax": ("QLinearSoftmax", [*PICTURE, scale(1 / 256), zero(0)], {"opset": 13}),
    "Softmax, axis": ("QLinearSoftmax", [*PICTURE, scale(1 / 256), zero(0)], {"opset": 13, "axis": 1}),
    "Softmax of old, last axis": ("QLinearSoftmax", [*PICTURE, scale(1 / 256), zero(0)], {"opset": 12, "axis": -1}),
    "Softmax of old": ("QLinearSoftmax", [*PICTURE, scale(1 / 256), zero(0)], {"opset": 12, "axis": 1}),
    "Softmax of old, no axis": ("QLinearSoftmax", [*PICTURE, scale(1 / 256), zero(0)], {"opset": 11}),
}  # fmt: skip


def answers(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The float meaning, the model as it is run, and the model read back as one of integers."""
    found = {"reference": evaluate(load(model), feeds)["y"]}
    found["session"] = qglow.InferenceSession(float_graph(model), threads=1).run(None, feeds)[0]
    found["integers"] = qglow.InferenceSession(qglow.quantize(model), threads=1).run(None, feeds)[0]
    return found


@pytest.mark.parametrize("version", [11, 17])
@pytest.mark.parametrize("name", CASES)
def test_beside_onnxruntime(name: str, version: int) -> None:
    op, given, attributes = CASES[name]
    model = model_of(op, given, version, **attributes)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {i.name: np.ascontiguousarray(given[int(i.name[1:])]) for i in session.get_inputs()}
    want = session.run(None, feeds)[0]
    for engine, got in answers(model, feeds).items():
        assert (got.dtype, got.shape) == (want.dtype, want.shape), engine
        if want.dtype == np.uint8:
            off = np.abs(got.astype(int) - want)
            assert off.max() <= 1 and (off != 0).mean() <= 0.1, (
                f"{engine}: off by {off.max()}, {(off != 0).mean():.1%} of the elements"
            )
        else:
            assert np.allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max()), engine


@pytest.mark.parametrize("op", sorted({case[0] for case in CASES.values()}))
def test_what_no_meaning_reads_is_refused(op: str) -> None:
    given = next(case[1] for case in CASES.values() if case[0] == op)
    with pytest.raises(ModelError, match="attribute 'unheard_of'"):
        load(model_of(op, given, 17, unheard_of=1))
