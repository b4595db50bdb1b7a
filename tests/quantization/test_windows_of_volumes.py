"""Pools over three axes between int8 convolutions stay float, as only float kernels know them, and say so."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.runtime.step_profile import host_steps

POOLS = {
    "AveragePool": {"kernel_shape": [3, 1, 1], "pads": [1, 0, 0, 1, 0, 0], "count_include_pad": 1},
    "MaxPool": {"kernel_shape": [3, 2, 2]},
    "GlobalAveragePool": {},
}


@pytest.mark.parametrize("pool", POOLS)
def test_no_step_is_left_to_the_host(pool: str) -> None:
    rng = np.random.default_rng(0)
    w = numpy_helper.from_array(rng.normal(0, 0.3, (6, 3, 3, 3)).astype(np.float32), "w")
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Unsqueeze", ["a", "axis"], ["b"]),
        helper.make_node(pool, ["b"], ["c"], name="pool", **POOLS[pool]),
        helper.make_node("Sigmoid", ["c"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    graph = helper.make_graph(nodes, "g", [x], [helper.make_empty_tensor_value_info("y")], [w, axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    samples = [{"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(4)]
    bundle = qglow.quantize(model, qglow.profile(model, samples))
    [why] = [d["reason"] for d in bundle.manifest["decisions"] if d["node"] == "pool"]
    assert "floats alone" in why
    session = qglow.InferenceSession(bundle)
    assert not host_steps(session, samples[0])
    [true] = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, samples[0])
    assert np.linalg.norm(session.run(None, samples[0])[0] - true) < 0.03 * np.linalg.norm(true)
