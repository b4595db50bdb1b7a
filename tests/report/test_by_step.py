"""Error by step of models that stream: which outputs are states, and that float and int8 go on from their own."""

from __future__ import annotations

import numpy as np
import pytest

import qglow
from qglow.graph import Graph, GraphBuilder, float_type
from qglow.report.by_step import states_of
from qglow.report.html import page


def recurrent(state: str = "h", following: str = "hn") -> Graph:
    """h' = tanh(x W + h U); y = h' V."""
    b, rng = GraphBuilder(), np.random.default_rng(0)
    for name in ("x", state):
        b.types[name] = float_type(1, 8)
        b.fresh(name)
    w, u, v = (
        b.add_constant(n, rng.normal(0, s, (8, 8)).astype(np.float32)) for n, s in zip("wuv", (1, 0.3, 1), strict=True)
    )
    xw, hu = (b.add("MatMul", (i, c), float_type(1, 8), n) for i, c, n in (("x", w, "xw"), (state, u, "hu")))
    after = b.add("Tanh", (b.add("Add", (xw, hu), float_type(1, 8), "sum"),), float_type(1, 8), following)
    return b.build("g", ("x", state), (b.add("MatMul", (after, v), float_type(1, 8), "y"), after))


@pytest.mark.parametrize(
    ("state", "following", "found"),
    [("h", "hn", True), ("state", "stateN", True), ("cache_in", "cache_out", True), ("in_h", "out_h", True),
     ("h0", "hn", True), ("prev_h", "next_h", True), ("a", "b", False), ("mask", "score", False)],
)  # fmt: skip
def test_a_state_is_an_output_that_is_named_as_an_input(state: str, following: str, found: bool) -> None:
    assert states_of(recurrent(state, following)) == ({state: following} if found else {})


def test_each_side_goes_on_from_its_own_states() -> None:
    graph, rng = recurrent(), np.random.default_rng(1)
    samples = [{n: rng.normal(0, 1, (1, 8)).astype(np.float32) for n in ("x", "h")} for _ in range(12)]
    bundle = qglow.quantize(graph, qglow.profile(graph, samples), check=False)
    report = qglow.compare(graph, bundle, samples)
    session, (w, u, v) = qglow.InferenceSession(bundle), (np.float64(graph.constants[n]) for n in "wuv")
    h, state, expected = np.float64(samples[0]["h"]), samples[0]["h"], []
    for s in samples:
        h = np.tanh(s["x"] @ w + h @ u)
        y, state = session.run(["y", "hn"], {"x": s["x"], "h": state})
        expected.append(10 * np.log10(np.square(h @ v).sum() / np.square(h @ v - y).sum()))
    assert set(report.by_step) == {"y"} and report.by_step["y"] == pytest.approx(expected, abs=0.05)
    assert report.to_dict()["by_step"] == report.by_step and ">Error by step<" in page(report.figures())
    assert not qglow.compare(graph, bundle, iter(samples)).by_step


def test_a_model_without_states_has_no_steps() -> None:
    graph = recurrent("a", "b")
    samples = [{n: np.ones((1, 8), np.float32) * k for n in ("x", "a")} for k in (1, 2)]
    bundle = qglow.quantize(graph, qglow.profile(graph, samples), check=False)
    report = qglow.compare(graph, bundle, samples)
    assert report.by_step == {} and "Error by step" not in page(report.figures())
