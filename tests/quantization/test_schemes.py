"""Schemes of the configuration: each has the types that it promises, the same bits on the compiled engine, and keeps
its accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qglow
from qglow.graph import DType, Graph, GraphBuilder, TensorType, float_type
from qglow.instructions.lower import lower
from qglow.instructions.program import HostCall
from qglow.quantization import QuantConfig
from qglow.reference import evaluate, retype
from qglow.runtime import Bundle
from qglow.targets import choose

SCHEMES = [
    QuantConfig(),
    QuantConfig(activations="int8"),
    QuantConfig(power_of_two=True),
    QuantConfig(weights="per_tensor"),
    QuantConfig(activations="int8", power_of_two=True, weights="per_tensor"),
    QuantConfig(activations="int8", calibration="minmax", balance_channels=False, correct_bias=False),
]


def every_family() -> tuple[Graph, list[dict[str, np.ndarray]]]:
    """A residual net with each family of int8 ops: products, sums, tables, pools, moves, a softmax, a product of two
    tensors."""
    rng, b = np.random.default_rng(11), GraphBuilder()
    b.types["x"] = float_type(1, 4, 8, 8)
    b.fresh("x")

    def op(op: str, *inputs: str, shape: tuple[int, ...] = (1, 8, 8, 8), **attributes: object) -> str:
        return b.add(op, inputs, float_type(*shape), op.lower(), **attributes)

    def constant(a: object) -> str:
        return b.add_constant("c", np.asarray(a))

    def conv(x: str, channels: int, group: int = 1, size: int = 3) -> str:
        w = rng.normal(0, 0.4, (8, channels // group, size, size)).astype(np.float32)
        return op(
            "Conv",
            x,
            constant(w),
            constant(rng.normal(0, 0.3, 8).astype(np.float32)),
            group=group,
            pads=(size // 2,) * 4,
        )

    a = op("Relu", conv("x", 4))
    y = conv(a, 8, group=8)
    y = op("Mul", y, op("Sigmoid", y))
    y = op("Relu", op("Add", conv(y, 8, size=1), a))
    y = op("Mul", y, op("Sigmoid", op("GlobalAveragePool", y, shape=(1, 8, 1, 1)), shape=(1, 8, 1, 1)))
    y = op("Concat", y, a, shape=(1, 16, 8, 8), axis=1)
    y = op("MaxPool", y, shape=(1, 16, 4, 4), kernel_shape=(2, 2), strides=(2, 2))
    rows = op("Reshape", y, constant(np.array([1, 16, 16])), shape=(1, 16, 16))
    scores = op("MatMul", rows, op("Transpose", rows, shape=(1, 16, 16), perm=(0, 2, 1)), shape=(1, 16, 16))
    mixed = op("MatMul", op("Softmax", op("Mul", scores, constant(np.float32(0.05)), shape=(1, 16, 16)),
        shape=(1, 16, 16), axis=-1),
               rows, shape=(1, 16, 16))  # fmt: skip
    flat = op("Reshape", mixed, constant(np.array([1, 256])), shape=(1, 256))
    w = constant(rng.normal(0, 0.1, (256, 10)).astype(np.float32))
    y = op("Gemm", flat, w, constant(np.zeros(10, np.float32)), shape=(1, 10))
    data = [{"x": rng.uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32)} for _ in range(20)]
    return b.build("g", ("x",), (y,)), data


def _name(c: QuantConfig) -> str:
    return f"{c.activations}-{c.weights}-{c.calibration}-{'pow2' if c.power_of_two else 'any'}"


@pytest.fixture(scope="module", params=SCHEMES, ids=_name)
def quantized(request: pytest.FixtureRequest) -> tuple[QuantConfig, Bundle, list[dict[str, np.ndarray]]]:
    graph, data = every_family()
    config = request.param
    return config, qglow.quantize(graph, qglow.profile(graph, data[:16]), config, check=data[16:]), data[16:]


def activations(graph: Graph) -> list[TensorType]:
    return [t for v, t in graph.types.items() if t.quant is not None and v not in graph.constants]


def test_types_are_those_of_the_scheme(quantized: tuple[QuantConfig, Bundle, list[dict[str, np.ndarray]]]) -> None:
    config, bundle, _ = quantized
    kinds = {(t.dtype, t.quant.z == 0) for t in activations(bundle.graph) if t.quant is not None}
    if config.activations == "int8":
        assert kinds == {(DType.I8, True)}
    else:
        assert {k for k, _ in kinds} == {DType.U8} and (DType.U8, False) in kinds
    weights = [t.quant for v, t in bundle.graph.types.items() if t.quant is not None and v in bundle.graph.constants]
    assert weights and all((q.axis is None) == (config.weights == "per_tensor") for q in weights)
    scales = [s for t in activations(bundle.graph) if t.quant for s in t.quant.scale] + [
        s for q in weights for s in q.scale
    ]
    assert all(np.frexp(s)[0] == 0.5 for s in scales) == config.power_of_two
    assert sum(d["precision"] == "float" for d in bundle.manifest["decisions"]) == 0


def test_engines_agree_and_the_output_holds(quantized: tuple[QuantConfig, Bundle, list[dict[str, np.ndarray]]]) -> None:
    config, bundle, data = quantized
    session = qglow.InferenceSession(bundle)
    program = lower(retype(bundle.graph, {"x": (1, 4, 8, 8)}), choose()[0].name)
    # NOTE: signed activations run on the unsigned kernels
    assert not [s for s in program.steps if isinstance(s, HostCall)]
    for feeds in data:
        expected = evaluate(bundle.graph, feeds)
        for name, got in zip(bundle.graph.outputs, session.run(None, feeds), strict=True):
            assert np.array_equal(got, expected[name])
    floor = 20.0 if config.power_of_two or config.weights == "per_tensor" else 26.0
    assert bundle.manifest["agreement"]["outputs"][bundle.graph.outputs[0]]["sqnr_db"] > floor


def test_a_signed_scheme_runs_the_demo(digits: Path) -> None:
    """Power-of-two scales and signed activations together, on both engines."""
    config = QuantConfig(activations="int8", power_of_two=True)
    bundle = qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", digits, samples=16), config)
    feeds = {"image": np.load(digits / "003.npy")}
    expected = evaluate(bundle.graph, feeds)["scores"]
    assert np.array_equal(qglow.InferenceSession(bundle).run(None, feeds)[0], expected)
