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


@pytest.mark.parametrize("axis", [1, 2])
def test_lines_beside_each_other_that_no_window_reads(axis: int) -> None:
    nodes = [
        N("Conv", ["x", "a"], ["p"]), N("Conv", ["x", "b"], ["q"]), N("Concat", ["p", "q"], ["c"], axis=axis),
        N("MatMul", ["c", "v"], ["y"]),
    ]  # fmt: skip
    a, b = RNG.normal(0, 1, (2, 3, 2, 1)).astype(np.float32)
    v = RNG.normal(0, 1, (4 if axis == 1 else 8, 3)).astype(np.float32)
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(c, n) for n, c in (("a", a), ("b", b), ("v", v))],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    samples = [{"x": RNG.normal(0, 1, (2, 2, 4)).astype(np.float32)} for _ in range(4)]
    bundle = qglow.quantize(model, qglow.profile(model, samples))
    session = qglow.InferenceSession(bundle)
    assert np.array_equal(session.run(None, samples[0])[0], session.run_all(samples[0])["y"])
    joined = np.concatenate([np.einsum("ocx,ncw->now", w, samples[0]["x"]) for w in (a, b)], axis)
    assert np.abs(session.run(None, samples[0])[0] - joined @ v).max() < 0.05 * np.abs(joined @ v).max()
