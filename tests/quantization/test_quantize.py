"""Rules of quantization, one by one, and the accuracy of the demo model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qglow
from qglow.errors import AccuracyError, ConfigError
from qglow.graph import DType, Graph, GraphBuilder, float_type
from qglow.oracle import float_oracle
from qglow.pipeline import float_graph
from qglow.quantization import QuantConfig
from qglow.reference import evaluate
from qglow.report.agreement import measure

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order() -> None:
    global RNG
    RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


class Net:
    """A builder whose tensors are all [1, C, 8, 8]."""

    def __init__(self) -> None:
        self.b = GraphBuilder()
        self.b.types["x"] = float_type(1, 4, 8, 8)
        self.b.fresh("x")

    def op(self, op: str, *inputs: str, channels: int = 4, **attributes: object) -> str:
        return self.b.add(op, inputs, float_type(1, channels, 8, 8), op.lower(), **attributes)

    def conv(self, x: str, channels: int = 4) -> str:
        w = self.b.add_constant("w", normal(channels, 4, 3, 3) * 0.3)
        return self.op(
            "Conv", x, w, self.b.add_constant("bias", normal(channels)), channels=channels, pads=(1, 1, 1, 1)
        )

    def constant(self, *values: float) -> str:
        a = np.array(values, np.float32)
        return self.b.add_constant("c", a.reshape(()) if a.size == 1 else a.reshape(-1, 1, 1))

    def quantize(
        self, output: str, config: QuantConfig | None = None, floor_db: float = 28.0
    ) -> tuple[Graph, dict[str, str]]:
        graph = self.b.build("g", ("x",), (output,))
        data = [{"x": normal(1, 4, 8, 8)} for _ in range(4)]
        bundle = qglow.quantize(graph, qglow.profile(graph, data), config)
        from qglow.profiling import open_dataset

        assert (
            measure(float_oracle(graph, graph), bundle.graph, open_dataset(data, graph)).outputs[output].sqnr_db
            > floor_db
        )
        return bundle.graph, {d["node"]: d["precision"] for d in bundle.manifest["decisions"]}


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


def test_relu_is_absorbed_and_silu_is_one_table() -> None:
    n = Net()
    y = n.op("Relu", n.conv("x"))
    y = n.conv(y)
    y = n.op("Mul", y, n.op("Sigmoid", y))
    graph, _ = n.quantize(y)
    assert ops(graph) == ["Quantize", "Conv", "Conv", "Lookup", "Dequantize"]
    assert graph.nodes[-2].attributes["function"] == "Sigmoid Mul"


def test_clip_bounds_hold() -> None:
    n = Net()
    y = n.op("Clip", n.conv("x"), n.constant(-0.25), n.constant(0.5))
    graph, _ = n.quantize(n.conv(y))
    t = graph.types[y]
    assert ops(graph) == ["Quantize", "Conv", "Conv"] and t.quant is not None
    conv = graph.nodes[1]
    low = (conv.attributes.get("qmin", 0) - t.quant.z) * t.quant.scale[0]
    high = (conv.attributes.get("qmax", 255) - t.quant.z) * t.quant.scale[0]
    assert abs(low + 0.25) <= t.quant.scale[0] and abs(high - 0.5) <= t.quant.scale[0]


def test_per_channel_functions_are_one_table_a_channel() -> None:
    n = Net()
    y = n.conv("x")
    y = n.op(
        "PRelu",
        n.op("Add", n.op("Mul", y, n.constant(1, 2, 3, 4)), n.constant(0, 1, 0, -1)),
        n.constant(0.1, 0.2, 0.3, 0.4),
    )
    graph, _ = n.quantize(n.conv(y))
    assert "Lookup" in ops(graph) and graph.constants[
        next(v for v in graph.constants if v.endswith(".table"))
    ].shape == (4, 256)


def test_concat_shares_one_range_and_residual_adds() -> None:
    n = Net()
    a, b = n.conv("x"), n.op("Relu", n.conv("x"))
    s = n.op("Relu", n.op("Add", a, b))
    y = n.b.add("Concat", (s, n.conv(s)), float_type(1, 8, 8, 8), "cat", axis=1)
    graph, _ = n.quantize(n.b.add("MaxPool", (y,), float_type(1, 8, 7, 7), "pool", kernel_shape=(2, 2)))
    assert "Lookup" not in ops(graph)
    cat = next(k for k in graph.nodes if k.op == "Concat")
    assert len({graph.types[v].quant for v in (*cat.inputs, *cat.outputs)}) == 1


def test_excluded_and_unsupported_nodes_stay_float_with_the_reason() -> None:
    n = Net()
    a = n.conv("x")
    y = n.conv(n.op("LogSoftmax", n.conv(a), axis=1))
    graph, precision = n.quantize(y, QuantConfig(exclude=(a,)))
    assert precision[f"{a}:Conv"] == "float" and precision["logsoftmax:LogSoftmax"] == "float"
    assert graph.types[a].dtype is DType.F32


@pytest.mark.parametrize(
    "config",
    [QuantConfig(activations="int8"), QuantConfig(weights="per_tensor"), QuantConfig(power_of_two=True),
     *(QuantConfig(calibration=c) for c in ("minmax", "percentile", "mse", "entropy"))],
)  # fmt: skip
def test_every_scheme_keeps_the_demo_accurate(config: QuantConfig, digits: Path) -> None:
    bundle = qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", digits, samples=32), config)
    labels = [int(r.split(",")[1]) for r in (digits / "labels.csv").read_text().split()[1:]]
    pictures = np.concatenate([np.load(digits / f"{k:03d}.npy") for k in range(len(labels))])
    right = evaluate(bundle.graph, {"image": pictures})["scores"].argmax(1) == labels
    reference = evaluate(float_graph(digits / "model.onnx"), {"image": pictures})["scores"].argmax(1) == labels
    assert right.mean() >= reference.mean() - 0.01


def test_constants_are_added_and_concatenated_as_int8() -> None:
    n = Net()
    y = n.op("Add", n.conv("x"), n.b.add_constant("position", normal(1, 4, 8, 8)))
    y = n.b.add("Concat", (n.b.add_constant("token", normal(1, 4, 1, 8)), y), float_type(1, 4, 9, 8), "cat", axis=2)
    last = n.b.add_constant("w", normal(4, 4, 3, 3) * 0.3)
    graph, _ = n.quantize(n.b.add("Conv", (y, last), float_type(1, 4, 9, 8), "last", pads=(1, 1, 1, 1)))
    assert ops(graph) == ["Quantize", "Conv", "Add", "Concat", "Conv"]
    assert {"position.q", "token.q"} <= set(graph.constants)


def test_huge_bias_raises_the_weight_scale_instead_of_overflowing() -> None:
    n = Net()
    w = n.b.add_constant("tiny", normal(4, 4, 1, 1) * 1e-9)
    y = n.op("Conv", "x", w, n.b.add_constant("huge", np.array([5, -3, 2, 0], np.float32)))
    n.quantize(n.conv(y))


def test_broken_quantization_fails_and_names_layers() -> None:
    n = Net()
    y = n.op("Relu", n.conv("x"))
    graph = n.b.build("g", ("x",), (n.conv(n.conv(y)),))
    small = [{"x": normal(1, 4, 8, 8) * 1e-3} for _ in range(2)]
    with pytest.raises(AccuracyError, match="by themselves add .*relu"):
        qglow.quantize(
            graph,
            qglow.profile(graph, small),
            QuantConfig(min_agreement_sqnr_db=60.0),
            check=[{"x": normal(1, 4, 8, 8) * 50}],
        )


def test_wrong_configuration_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text("[quantize]\ncalibraton = 'mse'\n")
    with pytest.raises(ConfigError, match="unknown field 'calibraton'"):
        QuantConfig.load(tmp_path / "q.toml")
    with pytest.raises(ConfigError, match="calibration must be one of"):
        QuantConfig(calibration="best")


@pytest.mark.parametrize(
    ("float_outputs", "ops"), [(True, ["Quantize", "Conv"]), (False, ["Quantize", "Conv", "Dequantize"])]
)
def test_float_outputs_says_whether_a_last_product_is_rounded(float_outputs: bool, ops: list[str]) -> None:
    net = Net()
    graph, _ = net.quantize(net.conv("x"), QuantConfig(float_outputs=float_outputs))
    assert [n.op for n in graph.nodes] == ops
    values = evaluate(graph, {"x": normal(1, 4, 8, 8)})[graph.outputs[0]]
    assert (len(np.unique(values)) < 200) == (not float_outputs)  # of 256 elements
