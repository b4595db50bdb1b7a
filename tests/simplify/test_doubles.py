"""Patterns of float64 are simplified to float64: beside onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.pipeline import float_graph

N = helper.make_node
V = np.array([0.5, 1.25, 2.0, 0.75])
NORM = N("BatchNormalization", ["x", "v", "v", "v", "v"], ["y"])
LAYER_NORM = (
    N("ReduceMean", ["x"], ["m"], axes=[-1]), N("Sub", ["x", "m"], ["c"]), N("Mul", ["c", "c"], ["q"]),
    N("ReduceMean", ["q"], ["s"], axes=[-1]), N("Add", ["s", "e"], ["d"]), N("Sqrt", ["d"], ["r"]),
    N("Div", ["c", "r"], ["n"]), N("Mul", ["n", "v"], ["y"]),
)  # fmt: skip


@pytest.mark.parametrize("nodes", [(NORM,), LAYER_NORM], ids=["batch_norm", "layer_norm"])
def test_as_onnxruntime(nodes: tuple[object, ...]) -> None:
    constants = [numpy_helper.from_array(a, n) for n, a in (("v", V), ("e", np.array(1e-3)))]
    x, y = (helper.make_tensor_value_info(n, TensorProto.DOUBLE, [3, 4]) for n in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    feeds = {"x": np.random.default_rng(0).normal(size=(3, 4))}
    (want,) = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    (got,) = qglow.InferenceSession(float_graph(model)).run(None, feeds)
    assert got.dtype == np.float64 and np.allclose(got, want, 1e-6)
