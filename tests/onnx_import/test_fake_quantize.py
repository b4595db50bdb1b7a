"""OpenVINO's FakeQuantize, and ranges of fewer levels than a dtype has: what the operator's words say, in numpy, and
int8 with the model's own grid where it has 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.errors import ModelError
from qglow.pipeline import float_graph
from qglow.reference import evaluate

DOMAIN = "org.openvinotoolkit"
RNG = np.random.default_rng(4)
WEIGHTS = RNG.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)
X = RNG.normal(0, 1.5, (1, 3, 8, 8)).astype(np.float32)
OUTPUT = np.float32([-9, 9 * 127 / 128])


def fake_quantized(x: np.ndarray, low: Any, high: Any, levels: int, to: tuple[Any, Any] | None = None) -> np.ndarray:
    """The operator as OpenVINO's specification has it, in float64."""
    low, high, *ends = (np.asarray(a, np.float64) for a in (low, high, *(to or (low, high))))
    inside = np.rint((x - low) / (high - low) * (levels - 1)) / (levels - 1) * (ends[1] - ends[0]) + ends[0]
    return np.where(x <= low, ends[0], np.where(x > high, ends[1], inside))


def convolved(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    p = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    taps = [(p[:, :, i : i + 8, j : j + 8], w[:, :, i, j]) for i in range(3) for j in range(3)]
    return np.sum([np.einsum("nchw,oc->nohw", a, b) for a, b in taps], 0)


def symmetric(largest: Any, levels: int) -> tuple[Any, Any]:
    """The range of OpenVINO's tools: of an even number of levels one more below 0 than above."""
    return -largest, largest if levels % 2 else largest * (levels / 2 - 1) / (levels / 2)


def model_of(of_x: tuple[Any, Any], of_w: tuple[Any, Any], levels: tuple[int, int], opset: int = 13) -> onnx.ModelProto:
    ends = dict(zip("abcd", (*of_x, *of_w), strict=True)) | {"e": OUTPUT[0], "f": OUTPUT[1], "w": WEIGHTS}
    nodes = [
        helper.make_node("FakeQuantize", ["x", "a", "b", "a", "b"], ["xq"], domain=DOMAIN, levels=levels[0]),
        helper.make_node("FakeQuantize", ["w", "c", "d", "c", "d"], ["wq"], domain=DOMAIN, levels=levels[1]),
        helper.make_node("Conv", ["xq", "wq"], ["c0"], pads=[1] * 4),
        helper.make_node("FakeQuantize", ["c0", "e", "f", "e", "f"], ["y"], domain=DOMAIN, levels=256),
    ]
    return built(nodes, ends, opset)


def built(nodes: list[onnx.NodeProto], constants: dict[str, Any], opset: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(np.float32(a) if isinstance(a, (int, float)) else a), n)
         for n, a in constants.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=7)


LARGEST = np.abs(WEIGHTS).max((1, 2, 3), keepdims=True)
CASES = {
    "256 levels": (symmetric(4, 256), (256, 256), 13, True),
    "255 levels of weights": ((0, 3), (256, 255), 13, True),
    "255 levels of activations": (symmetric(4, 255), (255, 255), 13, True),
    "16 and 15": ((0, 3), (16, 15), 17, True),
    "2 and 3": ((0, 3), (2, 3), 17, True),
    "without 0": ((-1.234, 3.3), (256, 255), 13, False),
    "1024 levels": ((0, 3), (1024, 255), 13, False),
    "scales by channel before opset 13": (symmetric(4, 256), (256, 256), 11, False),
}


@pytest.mark.parametrize("name", CASES)
def test_the_grid_of_the_model(name: str) -> None:
    of_x, levels, opset, is_int8 = CASES[name]
    of_w = symmetric(LARGEST, levels[1])
    model = model_of(of_x, of_w, levels, opset)
    real = convolved(fake_quantized(X, *of_x, levels[0]), fake_quantized(WEIGHTS, *of_w, levels[1]))
    want, step = fake_quantized(real, *OUTPUT, 256), float(OUTPUT[1] - OUTPUT[0]) / 255
    bundle = qglow.quantize(model)
    for graph in (float_graph(model), bundle):
        (got,) = qglow.InferenceSession(graph).run(None, {"x": X})
        assert np.abs(got - want).max() < 1.01 * step and (np.abs(got - want) > 0.01 * step).mean() < 0.01
    assert ("int8" in {d["precision"] for d in bundle.manifest["decisions"] if d["op"] == "Conv"}) == is_int8


def test_another_range_of_outputs_is_a_map_of_floats() -> None:
    ends = dict(zip("abcd", (-1, 2, 0, 10), strict=True))
    node = helper.make_node("FakeQuantize", ["x", *"abcd"], ["y"], domain=DOMAIN, levels=7)
    (got,) = qglow.InferenceSession(float_graph(built([node], ends, 13))).run(None, {"x": X})
    assert np.allclose(got, fake_quantized(X, -1, 2, 7, (0, 10)), atol=1e-5)


@pytest.mark.parametrize("low, levels", [(2, 256), (0, 1)])
def test_what_is_no_range_is_refused(low: float, levels: int) -> None:
    node = helper.make_node("FakeQuantize", ["x", *"abab"], ["y"], domain=DOMAIN, levels=levels)
    with pytest.raises(ModelError, match="FakeQuantize"):
        float_graph(built([node], {"a": low, "b": 2}, 13))


@pytest.mark.parametrize("kind, low, high", [(np.uint8, 0, 127), (np.int8, -64, 63), (np.uint8, 3, 200)])
def test_a_clip_of_integers_is_a_range(kind: type, low: int, high: int) -> None:
    """As PyTorch exports a fake quantization of fewer levels: QuantizeLinear, Clip, DequantizeLinear."""
    constants = {
        "s": 0.03, "z": kind((low + high) // 3), "lo": kind(low), "hi": kind(high), "t": 0.05, "u": kind(high // 2),
        "w": WEIGHTS, "ws": (LARGEST / 63).ravel().astype(np.float32), "wz": np.zeros(8, np.int8),
        "wlo": np.int8(-64), "whi": np.int8(62),
    }  # fmt: skip
    nodes: list[onnx.NodeProto] = []
    for x, scale, zero, least, most in (("x", "s", "z", "lo", "hi"), ("w", "ws", "wz", "wlo", "whi")):
        nodes += clipped(x, scale, zero, least, most, {"axis": 0} if x == "w" else {})
    nodes.append(helper.make_node("Conv", ["x.real", "w.real"], ["c"], pads=[1] * 4))
    nodes += clipped("c", "t", "u", "lo", "hi", {})
    nodes[-1].output[0] = "y"
    model = built(nodes, constants, 13)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    (want,) = ort.InferenceSession(built(nodes, constants, 13).SerializeToString(), options).run(None, {"x": X})
    bundle = qglow.quantize(model)
    assert [n.op for n in bundle.graph.nodes] == ["Clip", "Quantize", "Conv", "Dequantize"]
    (got,) = qglow.InferenceSession(bundle).run(None, {"x": X})
    assert np.array_equal(got, evaluate(bundle.graph, {"x": X})["y"])
    off = np.abs(got - want) / 0.05
    assert off.max() < 1.01 and (off > 0.01).mean() < 0.01


def clipped(x: str, scale: str, zero: str, low: str, high: str, axis: dict[str, int]) -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [x, scale, zero], [f"{x}.q"], **axis),
        helper.make_node("Clip", [f"{x}.q", low, high], [f"{x}.clipped"]),
        helper.make_node("DequantizeLinear", [f"{x}.clipped", scale, zero], [f"{x}.real"], **axis),
    ]
