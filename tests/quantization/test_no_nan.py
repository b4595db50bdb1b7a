"""A model that came quantized asks of integers whether they are NaN, as exporters write it behind a Softmax."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.runtime.step_profile import host_steps

N = helper.make_node


@pytest.mark.parametrize("asked", ["r", "x"])
def test_nothing_takes_the_place_of_an_integer(asked: str) -> None:
    """Asked of the value itself, the question goes; asked of the float before it, which may be NaN, it stays."""
    constants = {"s": np.float32(0.02), "z": np.uint8(7), "zero": np.float32(0.5)}
    nodes = [
        N("QuantizeLinear", ["x", "s", "z"], ["q"]), N("DequantizeLinear", ["q", "s", "z"], ["r"]),
        N("IsNaN", [asked], ["n"]), N("Where", ["n", "zero", "r"], ["w"]),
        N("QuantizeLinear", ["w", "s", "z"], ["p"]), N("DequantizeLinear", ["p", "s", "z"], ["y"]),
    ]  # fmt: skip
    shape = ["n", 5]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    x = np.float32([[0.1, np.nan, 3, -4, 9], [np.nan, np.inf, -np.inf, 0, 1]])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    peer = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    bundle = qglow.quantize(model, check=False)
    session = qglow.InferenceSession(bundle, 1)
    assert np.array_equal(session.run(None, {"x": x})[0], peer.run(None, {"x": x})[0])
    assert ("IsNaN" in {n.op for n in bundle.graph.nodes}) == (asked == "x")
    assert asked == "x" or not host_steps(session, {"x": x})
