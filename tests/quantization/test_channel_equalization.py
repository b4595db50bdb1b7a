"""Channel balance and bias correction: exact where they must be, and worth what they cost."""

from __future__ import annotations

import numpy as np
import pytest

import qglow
from qglow.graph import Graph, GraphBuilder, float_type
from qglow.oracle import float_oracle
from qglow.profiling import open_dataset
from qglow.quantization import QuantConfig
from qglow.reference import evaluate
from qglow.report.agreement import Agreement, measure

CHANNELS = np.array([1.0, 0.02, 0.3, 0.05], np.float32)  # how strong the channels are


class Uneven:
    """A builder of nets on [1, 4, 8, 8] whose first convolution's channels differ much in strength, as in a network
    that was not trained for int8; each later convolution needs them all alike.
    """

    def __init__(self) -> None:
        self.rng, self.strength = np.random.default_rng(3), CHANNELS
        self.b = GraphBuilder()
        self.b.types["x"] = float_type(1, 4, 8, 8)
        self.b.fresh("x")

    def array(self, *shape: int) -> np.ndarray:
        return self.rng.normal(0, 1, shape).astype(np.float32)

    def op(self, op: str, *inputs: str, channels: int = 4, size: int = 8, **attributes: object) -> str:
        return self.b.add(op, inputs, float_type(1, channels, size, size), op.lower(), **attributes)

    def constant(self, a: np.ndarray) -> str:
        return self.b.add_constant("c", a)

    def uneven(self, x: str) -> str:
        """Output channels as strong as `strength`."""
        w = self.array(4, 4, 3, 3) * self.strength.reshape(-1, 1, 1, 1)
        return self.op("Conv", x, self.constant(w), self.constant(self.array(4) * self.strength), pads=(1, 1, 1, 1))

    def even(self, x: str, factors: np.ndarray = CHANNELS, group: int = 1) -> str:
        """A convolution to which all input channels matter alike."""
        w = self.array(4, 4 // group, 1, 1) / (
            factors.reshape(1, -1, 1, 1) if group == 1 else factors.reshape(-1, 1, 1, 1)
        )
        return self.op("Conv", x, self.constant(w), group=group)

    def measured(self, output: str, **config: object) -> tuple[Agreement, Graph]:
        graph = self.b.build("g", ("x",), (output,))
        rng = np.random.default_rng(4)
        data = [{"x": rng.uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32)} for _ in range(24)]
        chosen = QuantConfig(widen_percent=0.0, **config)  # type: ignore[arg-type]
        bundle = qglow.quantize(graph, qglow.profile(graph, data[:20]), chosen)
        _same_on_both_engines(bundle.graph, data[20])
        return measure(float_oracle(graph, graph), bundle.graph, open_dataset(data[20:], graph)), bundle.graph


def _same_on_both_engines(graph: Graph, feeds: dict[str, np.ndarray]) -> None:
    expected = evaluate(graph, feeds)
    for name, got in qglow.InferenceSession(graph).run_all(feeds).items():
        if graph.types[name].is_quantized and name in expected:
            assert np.array_equal(got, expected[name]), name
    assert np.array_equal(qglow.InferenceSession(graph).run(None, feeds)[0], expected[graph.outputs[0]])


def chain(n: Uneven, form: str) -> str:
    """The value between an uneven and an even convolution."""
    y = n.uneven("x")
    if form == "relu":
        return n.op("Relu", y)
    if form == "silu":
        return n.op("Mul", y, n.op("Sigmoid", y))
    if form == "prelu":
        return n.op("PRelu", y, n.constant(np.array([0.1, 0.5, 0.2, 0.9], np.float32).reshape(4, 1, 1)))
    if form == "sum":
        return n.op("Relu", n.op("Add", y, n.uneven("x")))
    if form == "scaled":
        return n.op("Mul", y, n.op("Sigmoid", n.op("GlobalAveragePool", n.uneven("x"), size=1), size=1))
    if form == "pool":
        return n.op("MaxPool", n.op("Relu", y), kernel_shape=(3, 3), pads=(1, 1, 1, 1))
    if form == "shuffle":
        y = n.b.add("Reshape", (y, n.constant(np.array([1, 2, 2, 8, 8]))), float_type(1, 2, 2, 8, 8), "r")
        y = n.b.add("Transpose", (y,), float_type(1, 2, 2, 8, 8), "t", perm=(0, 2, 1, 3, 4))
        return n.b.add("Reshape", (y, n.constant(np.array([1, 4, 8, 8]))), float_type(1, 4, 8, 8), "r")
    if form == "concat":
        half = [n.b.add("Slice", (v, *(n.constant(np.array([k])) for k in ends)), float_type(1, 2, 8, 8), "s")
                for v, ends in ((y, (0, 2, 1)), (n.uneven("x"), (2, 4, 1)))]  # fmt: skip
        return n.b.add("Concat", half, float_type(1, 4, 8, 8), "cat", axis=1)
    assert form == "depthwise"
    return n.even(n.op("Relu", y), np.ones(4, np.float32), group=4)


@pytest.mark.parametrize("form", ["relu", "silu", "prelu", "sum", "scaled", "pool", "shuffle", "concat", "depthwise"])
def test_weak_channels_are_not_lost(form: str) -> None:
    """A balanced net is better by far, whatever stands between the two convolutions."""
    factors = CHANNELS[[0, 2, 1, 3]] if form == "shuffle" else CHANNELS
    found = []
    for balanced in (False, True):
        n = Uneven()
        y = n.even(chain(n, form), factors)
        agreement, graph = n.measured(y, balance_channels=balanced, correct_bias=False, min_agreement_sqnr_db=-100.0)
        assert balanced == any(c.endswith(".factors") for c in graph.constants)
        found.append(agreement.outputs[y].sqnr_db)
    plain, balanced_db = found
    assert balanced_db > plain + 3


@pytest.mark.parametrize(("strength", "pays"), [((1, 0.02, 0.1, 0.05), True), ((1, 0.9, 0.6, 1), False)])
def test_large_tables_get_rows_only_where_they_pay(
    strength: tuple[float, ...], pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qglow.quantization.channel_equalization.SMALL", 16)
    n = Uneven()
    n.strength = np.array(strength, np.float32)
    y = chain(n, "silu")
    _, graph = n.measured(n.even(y, n.strength))
    assert (f"{y}.factors" in graph.constants) == pays


def test_layers_are_compared_in_units_of_their_factors() -> None:
    n = Uneven()
    y = n.op("Relu", n.uneven("x"))
    _, graph = n.measured(n.even(y))
    whole = n.b.build("g", ("x",), (graph.outputs[0],))
    samples = [{"x": np.random.default_rng(k).uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32)} for k in range(4)]
    layers = qglow.compare(whole, qglow.Bundle(graph), samples).agreement.layers
    assert graph.constants[f"{y}.factors"].shape == (1, 4, 1, 1) and layers[y].sqnr_db > 35


def test_factors_end_at_values_that_float_nodes_read() -> None:
    """A small value is multiplied by its factors again; a graph's output has none."""
    n = Uneven()
    y = n.op("Relu", n.uneven("x"))
    z = n.op("Add", n.op("LogSoftmax", y, axis=1), n.even(y))
    agreement, graph = n.measured(z)
    assert "Mul" in [k.op for k in graph.nodes] and agreement.outputs[z].sqnr_db > 25
    n = Uneven()
    y = n.op("Relu", n.op("Add", n.even(n.uneven("x")), n.uneven("x")))
    agreement, graph = n.measured(y)
    assert agreement.outputs[y].sqnr_db > 30 and f"{y}.q.factors" not in graph.constants


def test_bias_takes_off_the_shift_of_rounded_weights() -> None:
    """Inputs far from zero: rounding the weights shifts every output by a constant, which the bias takes off again."""
    errors = []
    for correct in (False, True):
        n = Uneven()
        y = n.op("Relu", n.op("Add", n.uneven("x"), n.constant(np.full((4, 1, 1), 30, np.float32))))
        w = n.array(4, 4, 1, 1) * np.array([1, 0.01, 0.02, 0.01], np.float32).reshape(1, 4, 1, 1)
        y = n.op("Conv", y, n.constant(w))
        agreement, _ = n.measured(y, correct_bias=correct, balance_channels=False)
        errors.append(agreement.outputs[y].sqnr_db)
    assert errors[1] > errors[0] + 3


def test_a_resize_of_channels_ends_their_factors() -> None:
    """Eight uneven channels become sixteen: the factors of the eight are of no use to what reads these."""
    n = Uneven()
    x = n.uneven("x")
    scales = n.constant(np.array([1, 2, 1, 1], np.float32))
    y = n.b.add("Resize", (x, "", scales), float_type(1, 8, 8, 8), "larger", mode="nearest")
    w = n.constant(n.array(4, 8, 1, 1))
    last = n.b.add("Conv", (y, w), float_type(1, 4, 8, 8), "last")
    _, graph = n.measured(last, min_agreement_sqnr_db=-100.0)
    assert f"{y}.factors" not in graph.constants


def test_few_values_of_a_channel_do_not_show_its_range() -> None:
    """The same six vectors once, and 600 times: the ranges are the same, the factors are not. A channel that one vector
    alone excites has none."""
    rng, b = np.random.default_rng(8), GraphBuilder()
    b.types["x"] = float_type(1, 8)
    strengths = np.geomspace(0.02, 1, 32).astype(np.float32)
    w, v = rng.normal(0, 1, (8, 32)).astype(np.float32) * strengths, rng.normal(0, 1, (32, 4)).astype(np.float32) / 8
    hidden = b.add(
        "Relu", (b.add("Gemm", ("x", b.add_constant("w", w)), float_type(1, 32), "h"),), float_type(1, 32), "r"
    )
    y = b.add("Gemm", (hidden, b.add_constant("v", v)), float_type(1, 4), "y")
    graph = b.build("g", ("x",), (y,))
    data = [{"x": rng.normal(0, 1, (1, 8)).astype(np.float32)} for _ in range(6)]
    few, many = (
        qglow.quantize(graph, qglow.profile(graph, samples), check=False).graph.constants[f"{hidden}.factors"].ravel()
        for samples in (data, data * 600)
    )
    unseen = 3.5 / np.sqrt(2 * np.log(6))
    seen = np.maximum(np.concatenate([s["x"] for s in data]) @ w, 0)
    rare = (seen.sum(0) < 2 * seen.max(0)) & (seen.max(0) > 0)
    assert rare.sum() > 3 and (few[rare] == 1).all() and (many[rare] < 1).any()
    inside = (few < 1) & (many > 1.01 * 2.0**-3.75) & ~rare
    assert inside.sum() > 4 and np.allclose(few[inside] / many[inside], unseen**0.75, rtol=1e-3)
    assert (few >= many).all()
