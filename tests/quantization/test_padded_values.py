"""A Pad in a model that came quantized, of a value with other parameters than the padded one: onnxruntime's bits."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.runtime.step_profile import host_steps

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
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    assert_bits(nodes, constants, x)


def test_amounts_that_follow_from_shapes_by_quantized_arithmetic() -> None:
    """As `quantize_static` leaves the padding of "same" convolutions of images of any size: no step is on the host."""
    constants = {
        "s": np.float32(0.02), "z": np.uint8(107), "t": np.float32(0.25), "u": np.uint8(3), "four": np.float32(4),
        "none": np.int64([0, 0, 0]), "fill": np.uint8(90), "one": np.int64([1]),
    }  # fmt: skip
    nodes = [
        N("QuantizeLinear", ["x", "s", "z"], ["q"]),
        N("Shape", ["x"], ["sides"]), N("Gather", ["sides", "one"], ["side"]), N("Cast", ["side"], ["real"], to=1),
        N("QuantizeLinear", ["real", "t", "u"], ["side.q"]), N("DequantizeLinear", ["side.q", "t", "u"], ["side.r"]),
        N("Div", ["side.r", "four"], ["rest"]),
        N("QuantizeLinear", ["rest", "t", "u"], ["rest.q"]), N("DequantizeLinear", ["rest.q", "t", "u"], ["rest.r"]),
        N("Cast", ["rest.r"], ["last"], to=7), N("Concat", ["none", "last"], ["pads"], axis=0),
        N("Pad", ["q", "pads", "fill"], ["p"]), N("DequantizeLinear", ["p", "s", "z"], ["y"]),
    ]  # fmt: skip
    x = np.random.default_rng(0).normal(size=(3, 9)).astype(np.float32)
    session = assert_bits(nodes, constants, x)
    assert not host_steps(session, {"x": x})


def assert_bits(nodes: list, constants: dict, x: np.ndarray) -> qglow.InferenceSession:
    """A session of the quantized model, whose output has the bits of onnxruntime without graph optimization."""
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "k"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    peer = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session = qglow.InferenceSession(qglow.quantize(model, check=False), 1)
    (got,) = session.run(None, {"x": x})
    assert np.array_equal(got, peer.run(None, {"x": x})[0])
    return session
