"""Values that are made of shapes alone, and shapes that are read of quantized values, as exporters write them."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.runtime.step_profile import host_steps

N = helper.make_node


def model(nodes: list, shape: list, constants: dict, output: str = "y") -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def quantized(proto: onnx.ModelProto, shape: tuple) -> qglow.Bundle:
    rng = np.random.default_rng(1)
    data = [{"x": rng.normal(0, 1, shape).astype(np.float32)} for _ in range(16)]
    return qglow.quantize(proto, qglow.profile(proto, data), qglow.QuantConfig(calibration="minmax"))


def sqnr_db(proto: onnx.ModelProto, bundle: qglow.Bundle, shape: tuple) -> float:
    x = {"x": np.random.default_rng(2).normal(0, 1, shape).astype(np.float32)}
    [true] = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, x)
    [got] = qglow.InferenceSession(bundle, 1).run(None, x)
    assert got.shape == true.shape
    return float(10 * np.log10((true**2).sum() / ((got - true) ** 2).sum()))


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.3, shape).astype(np.float32)


def positions() -> onnx.ModelProto:
    """A product, sines of positions times it, and a product again."""
    nodes = [
        N("Shape", ["x"], ["s"]),
        N("Gather", ["s", "one"], ["n"]),
        N("Range", ["zero", "n", "step"], ["at"]),
        N("Cast", ["at"], ["real"], to=1),
        N("Unsqueeze", ["real", "last"], ["column"]),
        N("Mul", ["column", "pace"], ["angles"]),
        N("Sin", ["angles"], ["sines"], name="Sin_6"),
        N("MatMul", ["x", "w"], ["a"]),
        N("Add", ["a", "sines"], ["b"]),
        N("MatMul", ["b", "v"], ["y"]),
    ]
    constants = {
        "one": np.int64(1),
        "zero": np.int64(0),
        "step": np.int64(1),
        "last": np.int64([1]),
        "pace": np.geomspace(1, 0.01, 16).astype(np.float32),
        "w": weights(16, 16),
        "v": weights(16, 8),
    }
    return model(nodes, ["n", "length", 16], constants)


@pytest.mark.parametrize("length", [5, 12, 60])
def test_positions_beyond_those_of_calibration_are_as_good(length: int) -> None:
    proto = positions()
    assert sqnr_db(proto, quantized(proto, (1, 12, 16)), (2, length, 16)) > 33


def test_what_is_made_of_shapes_is_no_step_of_a_run() -> None:
    session = qglow.InferenceSession(quantized(positions(), (1, 12, 16)), 1)
    assert not host_steps(session, {"x": np.zeros((1, 12, 16), np.float32)})


def test_what_is_made_of_shapes_stays_float_with_its_reason() -> None:
    bundle = quantized(positions(), (1, 12, 16))
    reasons = {d["node"]: d["reason"] for d in bundle.manifest["decisions"]}
    assert "shapes alone" in reasons["Sin_6"]
    assert bundle.graph.types["angles"].dtype.numpy == np.float32


def reshaped(read: str) -> onnx.ModelProto:
    """A Reshape to a height that is read of another value."""
    nodes = [
        N("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        N("Relu", ["a"], ["r"]),
        N("Gather", ["a", "zero"], ["g"]),
        N("Shape", [read], ["s"]),
        N("Gather", ["s", "height"], ["h"]),
        N("Concat", ["m", "h", "width"], ["t"], axis=0),
        N("Reshape", ["r", "t"], ["f"]),
        N("MatMul", ["f", "v"], ["y"]),
    ]
    constants = {
        "w": weights(6, 3, 3, 3),
        "v": weights(8, 5),
        "m": np.int64([-1]),
        "width": np.int64([8]),
        "zero": np.int64(0),
        "height": np.int64([1 if read == "g" else 2]),
    }
    return model(nodes, ["n", 3, "h", 8], constants)


@pytest.mark.parametrize("read", ["x", "a", "r", "g"])
def test_the_shape_of_a_value_that_nothing_else_reads(read: str) -> None:
    """g is read for its shape alone; a is what the Relu's limits took the place of."""
    proto = reshaped(read)
    bundle = quantized(proto, (1, 3, 6, 8))
    assert [n.op for n in bundle.graph.nodes].count("Conv") == 1
    assert read == "g" or not any(n.op in ("Relu", "Lookup") for n in bundle.graph.nodes)
    assert sqnr_db(proto, bundle, (1, 3, 6, 8)) > 33
    assert sqnr_db(proto, bundle, (3, 3, 10, 8)) > 33


def test_channels_are_followed_through_a_view_of_unknown_batch() -> None:
    """Means over pixels made flat, of which a batch's worth is taken again, as torch's GlobalResponseNorm exports."""
    nodes = [
        N("Conv", ["x", "w"], ["a"]),
        N("Relu", ["a"], ["r"]),
        N("GlobalAveragePool", ["r"], ["p"]),
        N("Reshape", ["p", "flat"], ["f"]),
        N("Reshape", ["f", "back"], ["b"]),
        N("Gemm", ["b", "v"], ["y"]),
    ]
    constants = {
        "w": weights(20, 4, 1, 1) * np.geomspace(1, 30, 20).astype(np.float32)[:, None, None, None],
        "v": weights(20, 6),
        "flat": np.int64([-1]),
        "back": np.int64([-1, 20]),
    }
    proto = model(nodes, ["n", 4, "h", "w"], constants)
    bundle = quantized(proto, (1, 4, 6, 6))
    assert sqnr_db(proto, bundle, (1, 4, 6, 6)) > 25
    assert sqnr_db(proto, bundle, (3, 4, 5, 7)) > 25


def test_channels_of_a_value_of_unknown_rank() -> None:
    """A Reshape to a shape of unknown length, and a Transpose of it, as torch's MultiheadAttention exports."""
    nodes = [
        N("MatMul", ["x", "w"], ["a"]),
        N("Shape", ["x"], ["s"]),
        N("Gather", ["s", "zero"], ["n"]),
        N("Div", ["n", "n"], ["o"]),
        N("Add", ["o", "o"], ["end"]),
        N("Slice", ["s", "zero", "end"], ["head"]),
        N("Concat", ["head", "tail"], ["t"], axis=0),
        N("Reshape", ["a", "t"], ["r"]),
        N("Transpose", ["r"], ["p"], perm=[0, 2, 1, 3]),
        N("MatMul", ["p", "v"], ["y"]),
    ]
    factors = np.geomspace(1, 30, 12).astype(np.float32)
    constants = {
        "w": weights(8, 12) * factors,
        "v": weights(4, 5),
        "zero": np.int64([0]),
        "tail": np.int64([3, 4]),
    }
    proto = model(nodes, ["n", "length", 8], constants)
    bundle = quantized(proto, (1, 6, 8))
    for shape in ((1, 6, 8), (3, 9, 8)):
        assert sqnr_db(proto, bundle, shape) > 25
