"""LSTM: the float meaning held against onnxruntime, the int8 form against the float one."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.onnx_import.export_qdq import export_qdq
from qglow.pipeline import float_graph
from qglow.reference import evaluate

RNG = np.random.default_rng(0)


def model(
    direction: str, states: bool, steps: int = 7, batch: int = 2, width: int = 9, hidden: int = 12, **attributes: object
) -> onnx.ModelProto:
    sides = 1 + (direction == "bidirectional")
    shapes = {"W": (sides, 4 * hidden, width), "R": (sides, 4 * hidden, hidden), "B": (sides, 8 * hidden)}
    constants = [numpy_helper.from_array(RNG.normal(0, 0.4, s).astype(np.float32), n) for n, s in shapes.items()]
    inputs = {"x": [steps, batch, width]} | (
        {"h0": [sides, batch, hidden], "c0": [sides, batch, hidden]} if states else {}
    )
    names = ["x", "W", "R", "B", "", *(("h0", "c0") if states else ())]
    node = helper.make_node("LSTM", names, ["y", "h", "c"], hidden_size=hidden, direction=direction, **attributes)
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    outputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [f"{n}{k}" for k in range(4 if n == "y" else 3)])
        for n in "yhc"
    ]
    graph = helper.make_graph([node], "recurrent", infos, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def feeds_of(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in proto.graph.input}
    return {
        n: (np.tanh if n == "h0" else np.asarray)(RNG.normal(0, 1, s).astype(np.float32)) for n, s in shapes.items()
    }


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("states", [False, True])
def test_float_and_int8(direction: str, states: bool) -> None:
    proto = model(direction, states)
    feeds = feeds_of(proto)
    expected = ort.InferenceSession(proto.SerializeToString()).run(None, feeds)
    graph = float_graph(proto)
    assert [n.op for n in graph.nodes] == ["LSTM"]
    found = evaluate(graph, feeds)
    for name, y in zip("yhc", expected, strict=True):
        np.testing.assert_allclose(found[name], y, rtol=1e-5, atol=1e-6)
    bundle = qglow.quantize(graph, qglow.profile(graph, [feeds]))
    assert "QLSTM" in [n.op for n in bundle.graph.nodes]
    outputs = qglow.InferenceSession(bundle).run(None, feeds)
    exported = ort.InferenceSession(export_qdq(bundle.graph).SerializeToString()).run(None, feeds)
    for y, q, e in zip(expected, outputs, exported, strict=True):
        assert np.abs(q - y).max() < 0.05 * np.abs(y).max() and np.abs(q - e).max() < 0.03 * np.abs(y).max()


def test_a_state_beyond_one_stays_float() -> None:
    graph, feeds = float_graph(proto := model("forward", True)), feeds_of(proto)
    feeds["h0"] *= 5
    bundle = qglow.quantize(graph, qglow.profile(graph, [feeds]))
    assert "initial state" in bundle.manifest["decisions"][0]["reason"]


FORMS: list[tuple[dict[str, object], str]] = [
    ({"clip": 0.5}, "clip"),
    ({"activations": ["Sigmoid", "Relu", "Tanh"]}, "activations"),
    ({"input_forget": 1}, "input_forget"),
]


@pytest.mark.parametrize(("attributes", "reason"), FORMS)
def test_other_forms_stay_float(attributes: dict[str, object], reason: str) -> None:
    proto = model("forward", False, **attributes)
    feeds = feeds_of(proto)
    bundle = qglow.quantize(graph := float_graph(proto), qglow.profile(graph, [feeds]))
    assert reason in bundle.manifest["decisions"][0]["reason"]
    for y, e in zip(
        qglow.InferenceSession(bundle).run(None, feeds),
        ort.InferenceSession(proto.SerializeToString()).run(None, feeds),
        strict=True,
    ):
        np.testing.assert_allclose(y, e, rtol=1e-5, atol=1e-6)
