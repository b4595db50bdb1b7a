"""Models that came quantized: int8 nodes are read back from their QDQ and QLinear forms, with the same numbers to the
last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.errors import ConfigError
from qglow.graph import Graph
from qglow.onnx_import.export_qdq import export_qdq
from qglow.pipeline import float_graph
from qglow.reference import evaluate
from tests import shared_models


class Model:
    """An ONNX model in QDQ form on x [1, 4, 6, 6]. Scales are powers of two, so that the float meaning is exact too."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(1)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.count = 0

    def name(self, hint: str) -> str:
        self.count += 1
        return f"{hint}{self.count}"

    def constant(self, a: np.ndarray) -> str:
        name = self.name("c")
        self.constants.append(numpy_helper.from_array(np.asarray(a), name))
        return name

    def op(self, op: str, *inputs: str, count: int = 1, **attributes: Any) -> Any:
        outputs = [self.name(op.lower()) for _ in range(count)]
        self.nodes.append(helper.make_node(op, inputs, outputs, name=self.name("n"), **attributes))
        return outputs[0] if count == 1 else outputs

    def parameters(self, scale: float, zero: int, kind: type = np.uint8) -> tuple[str, str]:
        return self.constant(np.float32(scale)), self.constant(kind(zero))

    def q(self, x: str, scale: float, zero: int, kind: type = np.uint8) -> str:
        return str(self.op("QuantizeLinear", x, *self.parameters(scale, zero, kind)))

    def dq(self, x: str, scale: float, zero: int, kind: type = np.uint8) -> str:
        return str(self.op("DequantizeLinear", x, *self.parameters(scale, zero, kind)))

    def qdq(self, x: str, scale: float = 2.0**-4, zero: int = 128, kind: type = np.uint8) -> str:
        return self.dq(self.q(x, scale, zero, kind), scale, zero, kind)

    def conv(self, x: str, bias: bool = True, unit: float = 2.0**-4) -> str:
        """unit: the scale of x, which that of the bias contains."""
        w = self.constant(self.rng.integers(-128, 128, (4, 4, 1, 1)).astype(np.int8))
        scale = np.array([2.0**-7, 2.0**-8, 2.0**-9, 2.0**-8], np.float32)
        wf = self.op("DequantizeLinear", w, self.constant(scale), self.constant(np.zeros(4, np.int8)), axis=0)
        if not bias:
            return str(self.op("Conv", x, wf))
        b = self.constant(self.rng.integers(-999, 999, 4).astype(np.int32))
        return str(
            self.op("Conv", x, wf, self.op("DequantizeLinear", b, self.constant(scale * np.float32(unit)), axis=0))
        )

    def build(self, *outputs: tuple[str, int], kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
        x = helper.make_tensor_value_info("x", kind, (1, 4, 6, 6))
        made = [helper.make_tensor_value_info(n, k, (1, 4, 6, 6)) for n, k in outputs]
        graph = helper.make_graph(self.nodes, "g", [x], made, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


FLOAT = TensorProto.FLOAT


def same_numbers(model: onnx.ModelProto, kind: type = np.float32) -> Graph:
    """The recovered graph, whose outputs equal those of the float meaning of the model on a few inputs."""
    bundle = qglow.quantize(model)
    plain, rng = float_graph(model), np.random.default_rng(2)
    for _ in range(4):
        x = (
            rng.normal(0, 2, (1, 4, 6, 6)).astype(np.float32)
            if kind is np.float32
            else rng.integers(0, 256, (1, 4, 6, 6)).astype(kind)
        )
        expected = evaluate(plain, {"x": x})
        for name, got in zip(bundle.graph.outputs, qglow.InferenceSession(bundle).run(None, {"x": x}), strict=True):
            assert got.dtype == expected[name].dtype and np.array_equal(got, expected[name]), name
    return bundle.graph


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_products_sums_and_clamps(kind: type) -> None:
    m = Model()
    zero = 128 if kind is np.uint8 else 0
    x = m.qdq("x", zero=zero, kind=kind)
    a = m.qdq(m.op("Relu", m.conv(x)), 2.0**-3, zero - 128, kind)
    s = m.qdq(
        m.op("Relu", m.op("Add", m.qdq(m.conv(x, bias=False), 2.0**-3, zero, kind), a)), 2.0**-2, zero - 128, kind
    )
    graph = same_numbers(m.build((s, FLOAT)))
    assert ops(graph) == ["Quantize", "Conv", "Conv", "Add", "Dequantize"]


def test_moves_of_floats_and_of_integers() -> None:
    m = Model()
    a = m.q(m.conv(m.qdq("x")), 2.0**-3, 100)
    left, right = m.op("Split", a, count=2, axis=1)
    y = m.op("Concat", m.dq(right, 2.0**-3, 100), m.dq(left, 2.0**-3, 100), axis=1)
    y = m.op("Reshape", y, m.constant(np.array([1, 2, 2, 6, 6])))
    y = m.op("Reshape", m.op("Transpose", y, perm=(0, 2, 1, 3, 4)), m.constant(np.array([1, 4, 6, 6])))
    y = m.qdq(m.conv(m.qdq(y, 2.0**-4, 90)))
    graph = same_numbers(m.build((y, FLOAT)))
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(ops(graph)) and ops(graph).count("Quantize") == 1
    assert ops(graph).count("Lookup") == 1  # NOTE: other parameters after the moves than before


def test_a_constant_beyond_the_range_of_what_it_stands_beside() -> None:
    m = Model()
    left, _ = m.op("Split", m.qdq("x", 2.0**-5), count=2, axis=1)
    beside = m.constant(np.linspace(-20, 20, 72, dtype=np.float32).reshape(1, 2, 6, 6))
    y = m.qdq(m.op("Concat", left, beside, axis=1), 2.0**-2)
    same_numbers(m.build((m.qdq(m.conv(y, unit=2.0**-2)), FLOAT)))


def test_rounding_between_two_functions_stays() -> None:
    m = Model()
    y = m.qdq(m.conv(m.qdq("x")), 2.0**-3)
    y = m.qdq(m.op("Mul", y, m.qdq(m.op("Sigmoid", y), 2.0**-8, 0)), 2.0**-3)
    graph = same_numbers(m.build((m.qdq(m.conv(y, unit=2.0**-3)), FLOAT)))
    assert ops(graph) == ["Quantize", "Conv", "Lookup", "Mul", "Conv", "Dequantize"]
    m = Model()
    y = m.qdq(m.conv(m.qdq("x")), 2.0**-3)
    y = m.qdq(m.op("Mul", y, m.op("Sigmoid", y)), 2.0**-3)
    graph = same_numbers(m.build((m.qdq(m.conv(y, unit=2.0**-3)), FLOAT)))
    assert ops(graph) == ["Quantize", "Conv", "Lookup", "Conv", "Dequantize"]


def test_one_value_with_two_sets_of_parameters() -> None:
    m = Model()
    x = m.conv(m.qdq("x"))
    y = m.op("Add", m.qdq(x, 2.0**-4, 128), m.qdq(x, 2.0**-2, 50))
    graph = same_numbers(m.build((m.qdq(m.conv(m.qdq(y, 2.0**-2), unit=2.0**-2)), FLOAT)))
    assert "Conv" in ops(graph) and "Add" in ops(graph)


def test_a_value_is_not_rounded_by_what_only_one_of_its_readers_wants() -> None:
    m = Model()
    x = m.op("Relu", m.conv(m.qdq("x")))
    pooled = m.qdq(m.op("MaxPool", x, kernel_shape=(3, 3), pads=(1, 1, 1, 1)), 2.0**-1, 0)
    y = m.op("Add", m.qdq(m.conv(m.qdq(x, 2.0**-5, 0), unit=2.0**-5)), m.qdq(m.conv(pooled, unit=2.0**-1)))
    same_numbers(m.build((m.qdq(y), FLOAT)))


def test_float_nodes_read_rounded_values() -> None:
    m = Model()
    y = m.qdq(m.conv(m.qdq("x")), 2.0**-2)
    z = m.qdq(m.op("Softmax", y, axis=1), 2.0**-8, 0)
    graph = same_numbers(
        m.build((m.op("Softmax", m.qdq("x"), axis=2), FLOAT), (z, FLOAT), (m.op("Exp", m.op("Floor", y)), FLOAT))
    )
    assert "Softmax" in ops(graph) and ops(graph).count("Dequantize") >= 2


def test_integer_inputs_and_outputs_stay() -> None:
    m = Model()
    y = m.q(m.conv(m.dq("x", 2.0**-4, 128)), 2.0**-3, 128)
    graph = same_numbers(m.build((y, TensorProto.UINT8), kind=TensorProto.UINT8), np.uint8)
    assert graph.types[y].quant is None and next(n for n in graph.nodes if n.op == "Conv").inputs[0].endswith(".q")


def test_zero_points_per_channel_of_a_value_stay_as_they_are() -> None:
    m = Model()
    scale = m.constant(np.full(4, 2.0**-4, np.float32))
    zero = m.constant(np.array([128, 127, 128, 128], np.uint8))
    y = m.op("DequantizeLinear", m.op("QuantizeLinear", "x", scale, zero, axis=1), scale, zero, axis=1)
    graph = same_numbers(m.build((m.qdq(m.conv(m.qdq(m.op("Floor", y)))), FLOAT)))
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= set(ops(graph))


def test_a_float_model_is_refused(digits: Path) -> None:
    with pytest.raises(ConfigError, match="not quantized yet"):
        qglow.quantize(digits / "model.onnx")


@pytest.mark.parametrize("target", [{"min_sqnr_db": 20.0}, {"max_accuracy_drop": 1.0}])
def test_a_target_without_a_profile_is_refused(target: dict[str, float]) -> None:
    m = Model()
    model = m.build((m.qdq(m.conv(m.qdq("x", 2.0**-5, 0), unit=2.0**-5)), FLOAT))
    with pytest.raises(ConfigError, match="give a profile"):
        qglow.quantize(model, config=qglow.QuantConfig(**target))


@pytest.fixture(scope="module")
def pictures(digits: Path) -> list[dict[str, np.ndarray]]:
    return [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(24)]


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("kind", ["QUInt8", "QInt8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_what_onnxruntime_quantized_gives_its_bits(
    form: str, kind: str, per_channel: bool, digits: Path, pictures: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    import onnxruntime as ort
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Feeds(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(pictures[:8])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    out = tmp_path / "q.onnx"
    quantize_static(str(digits / "model.onnx"), str(out), Feeds(), quant_format=getattr(QuantFormat, form),
        per_channel=per_channel,
                    activation_type=getattr(QuantType, kind), weight_type=QuantType.QInt8)  # fmt: skip
    bundle = qglow.quantize(out)
    assert {d["precision"] for d in bundle.manifest["decisions"]} <= {"int8", "folded"}
    ours, theirs = qglow.InferenceSession(bundle), ort.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    for feeds in pictures:
        assert np.array_equal(ours.run(None, feeds)[0], theirs.run(None, feeds)[0])


def test_an_exported_bundle_comes_back(digits: Path, pictures: list[dict[str, np.ndarray]], tmp_path: Path) -> None:
    bundle = qglow.quantize(
        digits / "model.onnx",
        qglow.profile(digits / "model.onnx", digits, samples=16),
        qglow.QuantConfig(float_outputs=True),
    )
    onnx.save(export_qdq(bundle.graph), tmp_path / "q.onnx")
    again = qglow.quantize(tmp_path / "q.onnx")
    assert ops(again.graph).count("Conv") == ops(bundle.graph).count("Conv")
    for feeds in pictures:
        expected, got = (qglow.InferenceSession(b).run(None, feeds)[0] for b in (bundle, again))
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("name", shared_models.with_made(["shufflenet-v2-12-int8"], [shared_models.MADE_QUANTIZED]))
def test_a_quantized_model_gives_the_bits_of_onnxruntime(name: str) -> None:
    import onnxruntime as ort

    path = shared_models.path(name)
    bundle = qglow.quantize(path)
    assert "float" not in {d["precision"] for d in bundle.manifest["decisions"]}
    ours, theirs = qglow.InferenceSession(bundle), ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for feeds in shared_models.feeds(name, 8):
        assert np.array_equal(ours.run(None, feeds)[0], theirs.run(None, feeds)[0])


@pytest.mark.parametrize("op", ["Sqrt", "Log"])
def test_a_function_that_has_no_value_gives_what_onnxruntime_rounds_it_to(op: str) -> None:
    """The root of a negative number is NaN, which is stored as the lowest integer."""
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    constants = {"w": np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1), "s": np.float32(0.05), "z": np.uint8(100)}
    nodes, value = [], "x"
    for number, step in enumerate(("", "Conv", op)):
        if step:
            nodes.append(helper.make_node(step, [value, "w"] if step == "Conv" else [value], [f"v{number}"]))
        value = f"v{number}" if step else value
        nodes.append(helper.make_node("QuantizeLinear", [value, "s", "z"], [f"q{number}"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"q{number}", "s", "z"], [f"d{number}"]))
        value = f"d{number}"
    inputs, outputs = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4, 8, 8]) for n in ("x", value))
    graph = helper.make_graph(
        nodes, "g", [inputs], [outputs], [numpy_helper.from_array(a, n) for n, a in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    bundle = qglow.quantize(model, check=False)
    assert "Lookup" in ops(bundle.graph)
    x = np.random.default_rng(0).normal(0, 2, (1, 4, 8, 8)).astype(np.float32)
    theirs = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    assert np.array_equal(qglow.InferenceSession(bundle).run(None, {"x": x})[0], theirs)
