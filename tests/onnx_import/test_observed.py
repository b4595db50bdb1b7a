"""Models for onnxruntime: outputs of a Split that have no name are given new ones."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from qglow.onnx_import.observed import runnable


def test_outputs_of_a_split_are_named_as_nothing_else_is() -> None:
    nodes = [
        helper.make_node("Split", ["x"], ["", "Split.0.2", ""], axis=0, num_outputs=3),
        helper.make_node("Neg", ["Split.0.2"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, (k,)) for n, k in (("x", 6), ("y", 2)))
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    )
    made = onnx.load_from_string(bytes(runnable(model)))
    assert list(made.graph.node[0].output) == ["Split.0.0", "Split.0.2", "Split.0.2_"]
    feeds = {"x": np.arange(6, dtype=np.float32)}
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(None, feeds)[0].tolist() == [-2.0, -3.0]
