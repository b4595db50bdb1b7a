"""Models of onnxruntime's quantizer with activations of 16 bits, of either sign and with zero points: the model's own
integers, and after each op at most one step of 16 bits from onnxruntime without its optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.reference import evaluate
from qglow.runtime.step_profile import host_steps

SHAPE = (2, 6, 5, 7)
ZEROS = [np.uint16(32768), np.uint16(0), np.uint16(51234), np.uint16(65535), np.int16(-1234), np.int16(32767)]
STEP = 2.0**-13


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-127, 128, shape).astype(np.int8)


# op, int8 weights, attributes; without weights a second operand is -x
OPS: dict[str, tuple[str, np.ndarray | None, dict[str, Any]]] = {
    "Conv": ("Conv", weights(5, 6, 3, 3), {"pads": [1, 2, 1, 0]}),
    "Conv, depthwise": ("Conv", weights(6, 1, 3, 3), {"pads": [1] * 4, "group": 6}),
    "Conv, groups": ("Conv", weights(4, 3, 2, 1), {"group": 2}),
    "ConvTranspose": ("ConvTranspose", weights(6, 4, 3, 2), {"strides": [2, 2], "pads": [1, 0, 0, 1]}),
    "MatMul": ("MatMul", weights(7, 9), {}),
    "Add": ("Add", None, {}),
    "Sub": ("Sub", None, {}),
    "Mul": ("Mul", None, {}),
    "Max": ("Max", None, {}),
    "Tanh": ("Tanh", None, {}),
    "MaxPool": ("MaxPool", None, {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}),
    "AveragePool": ("AveragePool", None, {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}),
    "AveragePool, padding counts": (
        "AveragePool", None, {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "count_include_pad": 1}
    ),
    "GlobalAveragePool": ("GlobalAveragePool", None, {}),
    "Pad": ("Pad", None, {}),
    "Transpose": ("Transpose", None, {"perm": [0, 2, 3, 1]}),
}  # fmt: skip


def quantized(x: str, scale: str, zero: str) -> list[onnx.NodeProto]:
    """x by these parameters, and what real x.real that is."""
    return [
        helper.make_node("QuantizeLinear", [x, scale, zero], [f"{x}.stored"]),
        helper.make_node("DequantizeLinear", [f"{x}.stored", scale, zero], [f"{x}.real"]),
    ]


def model_of(name: str, zero: Any) -> onnx.ModelProto:
    """x, quantized, times 1 (what is not beside a product stays float); the op; its result, quantized with another zero
    point of the same dtype."""
    op, w, attributes = OPS[name]
    moves = op in ("MaxPool", "Pad", "Transpose")
    kind, step = zero.dtype.type, STEP if moves else np.float32(STEP * (9 if w is not None else 1.5))
    other = zero if moves else kind(zero // 2 + 5)
    constants = {"s": np.float32(STEP), "z": zero, "t": np.float32(step), "u": kind(other)}
    constants |= {"one": np.float32(1), "e": np.eye(7, dtype=np.int8), "f": -np.eye(7, dtype=np.int8)}
    nodes = [
        *quantized("x", "s", "z"), helper.make_node("DequantizeLinear", ["e", "one"], ["er"]),
        helper.make_node("MatMul", ["x.real", "er"], ["a"]), *quantized("a", "s", "z"),
    ]  # fmt: skip
    inputs = ["a.real"]
    if w is not None:
        axis = {"MatMul": 1, "ConvTranspose": 1}.get(op, 0)
        constants |= {"w": w, "ws": np.linspace(0.002, 0.005, w.shape[axis], dtype=np.float32)}
        nodes.append(helper.make_node("DequantizeLinear", ["w", "ws"], ["wr"], axis=axis))
        inputs.append("wr")
    elif op in ("Add", "Sub", "Mul", "Max"):
        nodes += [
            helper.make_node("DequantizeLinear", ["f", "one"], ["fr"]),
            helper.make_node("MatMul", ["x.real", "fr"], ["b"]), *quantized("b", "t", "u"),
        ]  # fmt: skip
        inputs.append("b.real")
    elif op == "Pad":
        constants["widths"] = np.int64([0, 0, 1, 0, 0, 0, 0, 2])
        inputs.append("widths")
    nodes += [helper.make_node(op, inputs, ["y"], **attributes), *quantized("y", "t", "u")]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y.real", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def reals_of(zero: Any) -> np.ndarray:
    """Reals that nearly fill what the integers stand for, and a few beyond."""
    limits = np.iinfo(zero.dtype)
    low, high = ((float(v) - float(zero)) * STEP for v in (limits.min, limits.max))
    return np.random.default_rng(3).uniform(low - 0.1, high + 0.1, SHAPE).astype(np.float32)


@pytest.mark.parametrize("zero", ZEROS, ids=lambda z: f"{z.dtype} {z}")
@pytest.mark.parametrize("name", OPS)
def test_the_integers_of_the_model(name: str, zero: Any) -> None:
    model, feeds = model_of(name, zero), {"x": reals_of(zero)}
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    (want,) = ort.InferenceSession(model.SerializeToString(), options).run(None, feeds)
    bundle = qglow.quantize(model)
    assert "float" not in {d["precision"] for d in bundle.manifest["decisions"]}
    session = qglow.InferenceSession(bundle)
    (got,) = session.run(None, feeds)
    assert np.array_equal(got, evaluate(bundle.graph, feeds)["y.real"]), "kernels and reference"
    step = next(numpy_helper.to_array(i) for i in model.graph.initializer if i.name == "t")
    off = np.abs(got.astype(np.float64) - want) / step
    assert off.max() < 1.01 and (off > 0.01).mean() < 0.1, f"{off.max()} steps, {(off > 0.01).mean():.1%} of elements"
    assert not host_steps(session, feeds)
