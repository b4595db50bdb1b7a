"""Ranges chosen for what a table makes of a value, and functions that 8 bits cannot carry."""

from __future__ import annotations

import numpy as np
import pytest

import qglow
from qglow.graph import Graph, GraphBuilder, float_type
from qglow.quantization import QuantConfig
from qglow.runtime import Bundle


def build(function: str, spread: float) -> tuple[Graph, list[dict[str, np.ndarray]]]:
    """conv, a function of its result, conv."""
    rng, b = np.random.default_rng(7), GraphBuilder()
    b.types["x"] = float_type(1, 4, 8, 8)
    b.fresh("x")

    def op(op: str, *inputs: str) -> str:
        return b.add(op, inputs, float_type(1, 4, 8, 8), op.lower())

    def conv(x: str, spread: float) -> str:
        w = b.add_constant("w", (rng.normal(0, 1, (4, 4, 1, 1)) * spread).astype(np.float32))
        return op("Conv", x, w)

    y = conv("x", spread)
    if function == "silu":
        y = op("Mul", y, op("Sigmoid", y))
    else:
        z = conv("x", spread)
        power = op("Add", op("Mul", y, y), op("Mul", z, z))
        y = op("Log", op("Add", power, b.add_constant("least", np.full((), 1e-6, np.float32))))
    y = conv(y, 0.3)
    power = 1 if function == "silu" else 9  # NOTE: a spectrum: a few strong values, many weak ones
    data = [{"x": (rng.uniform(-1, 1, (1, 4, 8, 8)) ** power).astype(np.float32)} for _ in range(12)]
    return b.build("g", ("x",), (y,)), data


def quantized(graph: Graph, data: list[dict[str, np.ndarray]], **config: object) -> tuple[Bundle, float]:
    chosen = QuantConfig(min_agreement_sqnr_db=-100.0, **config)  # type: ignore[arg-type]
    bundle = qglow.quantize(graph, qglow.profile(graph, data), chosen, check=data[:4])
    return bundle, float(bundle.manifest["agreement"]["outputs"][graph.outputs[0]]["sqnr_db"])


def test_silu_does_not_mind_what_lies_far_below_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, data = build("silu", 40.0)
    bundle, db = quantized(graph, data, balance_channels=False)
    t = bundle.graph.types["conv"]
    assert (
        t.quant is not None
        and -20 < (0 - t.quant.z) * t.quant.scale[0] < -3
        and (255 - t.quant.z) * t.quant.scale[0] > 60
    )
    monkeypatch.setattr("qglow.quantization.assign._only_through", lambda *_: {})
    assert db > quantized(graph, data, balance_channels=False)[1] + 1


def test_a_logarithm_of_a_power_stays_float() -> None:
    graph, data = build("log", 40.0)
    first = ("conv:Conv", "conv.1:Conv")  # NOTE: the input has such values too, so it is not rounded here
    bundle, db = quantized(graph, data, exclude=first)
    reasons = {d["node"]: d["reason"] for d in bundle.manifest["decisions"] if d["precision"] == "float"}
    assert "the rounding of its input to 8 bits would leave" in reasons["log:Log"]
    assert "only a function that needs more than 8 bits reads it" in reasons["add:Add"]
    assert db > 30
    forced, worse = quantized(graph, data, exclude=first, include=("log:Log", "re:add", "re:mul"))
    assert {d["node"] for d in forced.manifest["decisions"] if d["precision"] == "float"} == set(first) and worse < 15


@pytest.mark.parametrize("least", [-1e9, -3.4e38, -10000.0])
def test_a_mask_leaves_the_scores_their_steps(least: float) -> None:
    """Attention whose upper triangle is masked: the sum's range is that of the scores, and what is masked gets no
    weight."""
    rng, b = np.random.default_rng(9), GraphBuilder()
    b.types["x"] = float_type(1, 16, 8)
    b.fresh("x")
    w = [b.add_constant("w", rng.normal(0, 0.35, (8, 8)).astype(np.float32)) for _ in range(3)]
    parts = [b.add("MatMul", ("x", k), float_type(1, 16, 8), n) for k, n in zip(w, "qkv", strict=True)]
    turned = b.add("Transpose", (parts[1],), float_type(1, 8, 16), "turned", perm=(0, 2, 1))
    scores = b.add("MatMul", (parts[0], turned), float_type(1, 16, 16), "scores")
    mask = b.add_constant("mask", (np.triu(np.ones((16, 16)), 1) * least).astype(np.float32))
    weights = b.add(
        "Softmax",
        (b.add("Add", (scores, mask), float_type(1, 16, 16), "masked"),),
        float_type(1, 16, 16),
        "weights",
        axis=-1,
    )
    y = b.add("MatMul", (weights, parts[2]), float_type(1, 16, 8), "y")
    data = [{"x": rng.normal(0, 1, (1, 16, 8)).astype(np.float32)} for _ in range(12)]
    bundle, db = quantized(b.build("g", ("x",), (y,)), data, widen_percent=0.0)
    t = bundle.graph.types["masked"]
    assert t.quant is not None and t.quant.scale[0] < 1 and db > 25
    values = qglow.InferenceSession(bundle).run_all(data[0])
    quant = bundle.graph.types["weights"].quant
    assert quant is not None and (values["weights"][0][np.triu_indices(16, 1)] == quant.zero_point[0]).all()
