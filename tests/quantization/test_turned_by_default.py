"""A Transpose without `perm` turns all axes around, in every pass that asks how it moves channels."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

import qglow


def test_as_onnxruntime() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.normal(0, 0.3, (6, 4, 3)), "v": rng.normal(0, 0.3, (6, 8)), "gates": rng.normal(0, 0.3, (1, 20, 6)),
        "again": rng.normal(0, 0.3, (1, 20, 5)),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1]),
        helper.make_node("Transpose", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Transpose", ["c"], ["d"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["d", "v"], ["y"]),
        helper.make_node("LSTM", ["d", "gates", "again"], ["z"], hidden_size=5),
    ]
    constants = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4, 7])
    outputs = [helper.make_empty_tensor_value_info(n) for n in ("y", "z")]
    graph = helper.make_graph(nodes, "g", [x], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    samples = [{"x": rng.normal(size=(2, 4, 7)).astype(np.float32)} for _ in range(4)]
    session = qglow.InferenceSession(qglow.quantize(model, qglow.profile(model, samples)))
    true = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, samples[0])
    for a, b in zip(session.run(None, samples[0]), true, strict=True):
        assert np.linalg.norm(a - b) < 0.03 * np.linalg.norm(b)
