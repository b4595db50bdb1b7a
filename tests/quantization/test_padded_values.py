"""A Pad in a model that came quantized, of a value with other parameters than the padded one: onnxruntime's bits."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow

N = helper.make_node


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("scale", [0.02, 0.03])
def test_pads(mode: str, scale: float) -> None:
    constants = {
        "s": np.float32(0.02), "z": np.uint8(107), "t": np.float32(scale), "u": np.uint8(107 if scale == 0.02 else 90),
        "pads": np.int64([0, 1, 0, 2]), "fill": np.float32(0.333),
    }  # fmt: skip
    nodes = [
        N("QuantizeLinear", ["x", "s", "z"], ["q"]), N("DequantizeLinear", ["q", "s", "z"], ["r"]),
        N("Pad", ["r", "pads", "fill"][: 3 if mode == "constant" else 2], ["w"], mode=mode),
        N("QuantizeLinear", ["w", "t", "u"], ["p"]), N("DequantizeLinear", ["p", "t", "u"], ["y"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    peer = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (got,) = qglow.InferenceSession(qglow.quantize(model, check=False), 1).run(None, {"x": x})
    assert np.array_equal(got, peer.run(None, {"x": x})[0])
