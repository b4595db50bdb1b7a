"""LSTMs of onnxruntime's `quantize_dynamic`: its own arithmetic, to the rounding of floats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

import qglow
from qglow.errors import ModelError
from qglow.pipeline import float_graph

CASES = {
    "one entry": ((9, 1, 5, 7), "forward", 13, False, False, QuantType.QInt8),
    "states, by channel": ((9, 3, 5, 7), "reverse", 17, True, True, QuantType.QInt8),
    "both directions": ((5, 2, 6, 4), "bidirectional", 18, True, False, QuantType.QUInt8),
    "clipped": ((5, 2, 6, 4), "bidirectional", 13, True, False, QuantType.QInt8),
    "old": ((5, 2, 6, 4), "bidirectional", 12, False, True, QuantType.QInt8),
}


def dynamic_model(
    path: Path, sizes: tuple[int, ...], direction: str, opset: int, states: bool, by_channel: bool, kind: QuantType
) -> onnx.ModelProto:
    steps, batch, width, hidden = sizes
    rng, sides = np.random.default_rng(0), 1 + (direction == "bidirectional")
    shapes = {"w": (sides, 4 * hidden, width), "r": (sides, 4 * hidden, hidden), "b": (sides, 8 * hidden)}
    if states:
        shapes |= dict.fromkeys("hc", (sides, batch, hidden))
    node = helper.make_node(
        "LSTM", ["x", "w", "r", "b", *(("", "h", "c") if states else ())], ["y", "yh", "yc"], hidden_size=hidden,
        direction=direction,
    )  # fmt: skip
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["t", batch if states else "n", width])
    graph = helper.make_graph(
        [node], "g", [x], [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in node.output],
        [numpy_helper.from_array(rng.normal(0, 0.3, s).astype(np.float32), n) for n, s in shapes.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path / "float.onnx")
    quantize_dynamic(path / "float.onnx", path / "dynamic.onnx", weight_type=kind, per_channel=by_channel)
    made = onnx.load(path / "dynamic.onnx")
    assert [n.op_type for n in made.graph.node] == ["DynamicQuantizeLSTM"]
    return made


@pytest.mark.parametrize("name", CASES)
def test_beside_onnxruntime(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = dynamic_model(tmp_path, *case)
    if name == "clipped":
        model.graph.node[0].attribute.append(helper.make_attribute("clip", 0.3))
    x = np.random.default_rng(1).normal(0, 1, case[0][:3]).astype(np.float32)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    want = ort.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})
    for graph in (float_graph(model), qglow.quantize(model)):
        for got, theirs in zip(qglow.InferenceSession(graph, threads=1).run(None, {"x": x}), want, strict=True):
            assert got.shape == theirs.shape and np.abs(got - theirs).max() < 1e-6


@pytest.mark.parametrize("attributes", [{"input_forget": 1}, {"activations": ["Relu", "Tanh", "Tanh"]}])
def test_other_forms_are_refused(attributes: dict[str, object], tmp_path: Path) -> None:
    model = dynamic_model(tmp_path, *CASES["one entry"])
    model.graph.node[0].attribute.extend([helper.make_attribute(k, v) for k, v in attributes.items()])
    with pytest.raises(ModelError, match="DynamicQuantizeLSTM"):
        float_graph(model)
