"""Models that onnxruntime's `quantize_dynamic` made, and `weights = "int8_dynamic"`: int8 products without a
profile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

import qglow
from qglow.commands.main import main
from qglow.errors import ConfigError

RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 40)).astype(np.float32)


def saved(path: Path, nodes: list[onnx.NodeProto], shape: tuple[int, ...], constants: dict[str, np.ndarray]) -> str:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", shape), ("y", None)))
    initializers = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


def dense(path: Path) -> str:
    """Rows of 40 and of 200 elements: a short block, and two of unequal use."""
    nodes = [
        helper.make_node("Gemm", ["x", "a", "b"], ["h"], name="first"),
        helper.make_node("Tanh", ["h"], ["t"], name="tanh"),
        helper.make_node("MatMul", ["t", "c"], ["y"], name="second"),
    ]
    constants = {"a": RNG.normal(0, 0.2, (40, 200)), "b": RNG.normal(size=200), "c": RNG.normal(0, 0.1, (200, 30))}
    return saved(path, nodes, (5, 40), constants)


def noise_db(real: np.ndarray, got: np.ndarray) -> float:
    d = got.astype(np.float64) - real
    return float(10 * np.log10((real.astype(np.float64) ** 2).sum() / max((d * d).sum(), 1e-30)))


def precisions(bundle: qglow.Bundle) -> list[str]:
    return [d["precision"] for d in bundle.manifest["decisions"]]


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("weights", [QuantType.QInt8, QuantType.QUInt8])
def test_products_are_int8_and_as_near_to_float_as_onnxruntime(
    tmp_path: Path, weights: QuantType, by_channel: bool
) -> None:
    source, made = dense(tmp_path / "m.onnx"), str(tmp_path / "d.onnx")
    quantize_dynamic(source, made, weight_type=weights, per_channel=by_channel)
    bundle = qglow.quantize(made)
    assert precisions(bundle).count("int8 blocks") == 2
    assert not any(n.operator in ("DynamicQuantizeLinear", "MatMulInteger") for n in bundle.graph.nodes)
    (real,), (peer,) = (ort.InferenceSession(m).run(None, {"x": X}) for m in (source, made))
    (got,) = qglow.InferenceSession(bundle).run(None, {"x": X})
    assert noise_db(real, got) > noise_db(real, peer) - 3 and noise_db(peer, got) > 30


def test_the_integers_of_the_weights_stay(tmp_path: Path) -> None:
    source, made = dense(tmp_path / "m.onnx"), str(tmp_path / "d.onnx")
    quantize_dynamic(source, made, weight_type=QuantType.QUInt8)
    given = {i.name: numpy_helper.to_array(i) for i in onnx.load(made).graph.initializer}
    constants = qglow.quantize(made).graph.constants
    for name in ("a_quantized", "c_quantized"):
        assert any(a.shape == given[name].T.shape and np.array_equal(a, given[name].T) for a in constants.values())


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize(("shape", "attributes"), [
    ((6, 4, 3, 3), {"pads": [1, 0, 2, 1], "strides": [2, 1]}), ((8, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    ((6, 2, 1, 1), {"group": 2}), ((5, 4, 3), {"pads": [2, 0], "dilations": [2]}),
])  # fmt: skip
def test_a_convolution_has_the_integers_of_the_model(
    kind: type, shape: tuple[int, ...], attributes: dict[str, object]
) -> None:
    """The same numbers as onnxruntime's, without its optimizations: also of zeros alone, and of one sign. The value is
    read by two convolutions, with borders of their own."""
    low, high = (0, 256) if kind is np.uint8 else (-128, 128)
    zero = np.array(117 if kind is np.uint8 else 0, kind)
    constants = {"w": RNG.integers(low, high, shape).astype(kind), "wz": zero, "ws": np.float32(0.013)}
    nodes = [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="range")]
    pads = {"pads": [1] * (2 * len(shape) - 4)}
    for y, more in (("a", attributes), ("b", {**attributes, **pads})):
        nodes += [
            helper.make_node("ConvInteger", ["q", "w", "z", "wz"], [f"{y}i"], name=y, **more),
            helper.make_node("Cast", [f"{y}i"], [f"{y}f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["s", "ws"], [f"{y}s"]),
            helper.make_node("Mul", [f"{y}f", f"{y}s"], [y]),
        ]
    given = (2, 4, 9, 8)[: len(shape)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *given[1:]])
    outputs = [helper.make_tensor_value_info(y, TensorProto.FLOAT, None) for y in "ab"]
    tensors = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session, options = qglow.InferenceSession(qglow.quantize(model)), ort.SessionOptions()
    assert "Onnx" not in [n.op for n in session.graph.nodes]
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    peer = ort.InferenceSession(model.SerializeToString(), options)
    noise = RNG.normal(size=given).astype(np.float32)
    for feed in (noise, noise[:1] * 0, np.abs(noise), -np.abs(noise) - 3, noise * 1e-20):
        for got, want in zip(session.run(None, {"x": feed}), peer.run(None, {"x": feed}), strict=True):
            assert np.array_equal(got, want)


def test_a_convolution_of_quantize_dynamic(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv", pads=[1, 1, 1, 1], strides=[2, 2])]
    constants = {"w": RNG.normal(0, 0.2, (6, 3, 3, 3)), "b": RNG.normal(size=6)}
    source, made = saved(tmp_path / "m.onnx", nodes, (1, 3, 9, 9), constants), str(tmp_path / "d.onnx")
    quantize_dynamic(source, made, weight_type=QuantType.QUInt8)
    bundle, x = qglow.quantize(made), RNG.normal(size=(1, 3, 9, 9)).astype(np.float32)
    assert [n.op for n in bundle.graph.nodes].count("Conv") == 1 and "Onnx" not in [n.op for n in bundle.graph.nodes]
    (peer,), (got,) = (s.run(None, {"x": x}) for s in (ort.InferenceSession(made), qglow.InferenceSession(bundle)))
    assert noise_db(peer, got) > 120


def test_dynamic_needs_no_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = dense(tmp_path / "m.onnx"), tmp_path / "m.qglow"
    with pytest.raises(ConfigError, match="--dynamic"):
        qglow.quantize(source)
    assert main(["quantize", source, "--dynamic", "-o", str(out)]) == 0
    assert "2 with int8 weights in blocks" in capsys.readouterr().out
    (real,) = ort.InferenceSession(source).run(None, {"x": X})
    (got,) = qglow.InferenceSession(str(out)).run(None, {"x": X})
    assert noise_db(real, got) > 35
    assert main(["quantize", source, "--dynamic", "--weights", "per_tensor", "-o", str(out)]) == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_quantization_by_operators_of_onnxruntime_itself(dtype: type) -> None:
    """Also of NaN and infinities, which become the ends of the dtype."""
    parameters = [numpy_helper.from_array(a, n) for n, a in (("s", np.float32(0.1)), ("z", dtype(7)))]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], domain="com.microsoft"),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, (6,)) for n in ("x", "y"))
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y], parameters), opset_imports=imports, ir_version=8)
    given = {"x": np.float32([np.nan, -np.inf, np.inf, 0.26, -5, 1e30])}
    (real,) = ort.InferenceSession(model.SerializeToString()).run(None, given)
    for session in (
        qglow.InferenceSession(qglow.quantize(model)),
        qglow.InferenceSession(qglow.pipeline.float_graph(model)),
    ):
        assert np.array_equal(session.run(None, given)[0], real)


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_convolution_with_a_bias_of_int32(is_cut: bool, tmp_path: Path) -> None:
    """As onnxruntime 1.5 made them: the bias is divided by both scales and cut to an integer at run time."""
    op, rng = helper.make_node, np.random.default_rng(5)
    constants = {
        "w": rng.integers(0, 255, (6, 4, 3, 3)).astype(np.uint8), "w_zero": np.uint8(128), "w_scale": np.float32(0.01),
        "bias": rng.normal(0, 2, 6).astype(np.float32), "whole": rng.integers(-900, 900, 6).astype(np.int32),
        "shape": np.array([1, -1, 1, 1]),
    }  # fmt: skip
    nodes = [
        op("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        op("ConvInteger", ["q", "w", "z", "w_zero"], ["sums"], pads=[1, 1, 1, 1]),
        op("Mul", ["s", "w_scale"], ["b_scale"]), op("Div", ["bias", "b_scale"], ["steps"]),
        op("Floor", ["steps"], ["cut"]), op("Cast", ["cut"], ["b"], to=TensorProto.INT32),
        op("Reshape", ["b" if is_cut else "whole", "shape"], ["column"]), op("Add", ["sums", "column"], ["total"]),
        op("Cast", ["total"], ["real"], to=TensorProto.FLOAT), op("Mul", ["s", "w_scale"], ["scale"]),
        op("Mul", ["real", "scale"], ["y"]),
    ]  # fmt: skip
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", (1, 4, 9, 9)), ("y", None)))
    graph = helper.make_graph(
        nodes, "g", [x], [y], [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    bundle, feeds = qglow.quantize(model), {"x": rng.normal(size=(1, 4, 9, 9)).astype(np.float32)}
    assert not any(n.operator in ("DynamicQuantizeLinear", "ConvInteger") for n in bundle.graph.nodes)
    want = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    got = qglow.InferenceSession(bundle, threads=1).run(None, feeds)[0]
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-5)
