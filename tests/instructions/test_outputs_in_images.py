"""Ops whose kernels write rows, where who reads their outputs wants images: beside onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.pipeline import float_graph

RNG = np.random.default_rng(3)
N = helper.make_node
CONSTANTS = {
    "w": RNG.normal(0, 0.5, (2, 12, 4)), "r": RNG.normal(0, 0.5, (2, 12, 3)), "l": RNG.normal(0, 0.5, (2, 9, 4)),
    "u": RNG.normal(0, 0.5, (2, 9, 3)), "k": RNG.normal(0, 1, (4, 2, 2, 1)), "m": RNG.normal(0, 1, (4, 3, 2, 1)),
}  # fmt: skip
SIDES: dict[str, Any] = {"hidden_size": 3, "direction": "bidirectional"}
APART = SIDES | {"linear_before_reset": 1}
NETWORKS = {
    "lstm": ([5, 2, 4], [N("LSTM", ["x", "w", "r"], ["h"], **SIDES), N("Conv", ["h", "k"], ["y"])]),
    "gru": ([5, 2, 4], [N("GRU", ["x", "l", "u"], ["h"], **APART), N("Conv", ["h", "k"], ["y"])]),
    "softmax": ([2, 3, 1, 1], [N("Softmax", ["x"], ["h"], axis=1), N("Conv", ["h", "m"], ["y"], pads=[0, 0, 1, 0])]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_as_onnxruntime(name: str) -> None:
    shape, nodes = NETWORKS[name]
    read = {i for n in nodes for i in n.input}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(v, TensorProto.FLOAT, None) for v in ("y", "h")],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in CONSTANTS.items() if n in read],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    x = RNG.normal(0, 1, shape).astype(np.float32)
    want = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    got = qglow.InferenceSession(float_graph(model)).run(None, {"x": x})
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape and np.allclose(a, b, 1e-5, 1e-6)
