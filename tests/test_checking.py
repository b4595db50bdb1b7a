"""QGLOW_VERIFY: each level finds what it says it finds, and says which pass or node, expected and got."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qglow.simplify
from qglow.checking import check_meaning, check_types, random_feeds
from qglow.errors import ConfigError, VerifyError
from qglow.graph import DType, Graph, TensorType
from qglow.graph.text import parse_graph
from qglow.pipeline import float_graph

NET = """graph "g"
input %x: f32[N,4]
input %k: i64[1]
const %w: f32[4,4] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
%m: f32[N,4] = MatMul(%x, %w) "product"
%r: f32[N,4] = Relu(%m) "relu"
%g: f32[1,4] = Gather(%r, %k) "gather"
output %g
output %r
"""


def nudge_weights(graph: Graph) -> Graph:
    """A pass that is wrong: weights change by a tenth of a percent."""
    return graph.with_(
        constants={k: a * np.float32(1.001) if k == "a.w" or k == "w" else a for k, a in graph.constants.items()}
    )


def test_a_wrong_pass_is_named_with_its_node(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        qglow.simplify, "PASSES", (*qglow.simplify.PASSES[:2], nudge_weights, *qglow.simplify.PASSES[2:])
    )
    for level in ("0", "1", "2"):
        monkeypatch.setenv("QGLOW_VERIFY", level)
        float_graph(digits / "model.onnx")
    monkeypatch.setenv("QGLOW_VERIFY", "3")
    with pytest.raises(
        VerifyError, match=r"pass nudge_weights: node '.*': `%conv_a: .*'conv_a' differs: expected .*, got"
    ):
        float_graph(digits / "model.onnx")


def test_the_passes_keep_the_meaning(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QGLOW_VERIFY", "3")
    seen: list[str] = []

    def watch(before: Graph, after: Graph, name: str) -> None:
        seen.append(name)
        check_meaning(before, after, name)

    monkeypatch.setattr("qglow.pipeline.check_meaning", watch)
    float_graph(digits / "model.onnx")
    assert seen == [p.__name__ for p in qglow.simplify.PASSES]


def test_what_is_lost_or_cannot_run_is_found() -> None:
    graph = parse_graph(NET)
    check_meaning(graph, graph, "nothing")
    with pytest.raises(
        VerifyError, match=r"pass nudge_weights: node 'product': .*expected .*, got .* at the worst place"
    ):
        check_meaning(graph, nudge_weights(graph), "nudge_weights")
    without = graph.with_(nodes=graph.nodes[:1], outputs=("r",))
    with pytest.raises(VerifyError, match=r"pass cut: "):
        check_meaning(graph, without, "cut")
    with pytest.raises(VerifyError, match=r"pass turn: node 'relu': .*expected float32\[2, 4\], got float32\[4, 2\]"):
        check_meaning(graph, parse_graph(NET.replace("Relu(%m)", 'Transpose(%m) {"perm": [1, 0]}')), "turn")
    with pytest.raises(VerifyError, match=r"pass break: what it made cannot be evaluated"):
        check_meaning(graph, parse_graph(NET.replace("MatMul", "NoSuchOp")), "break")


def test_types_are_recomputed_where_they_are_static() -> None:
    graph = parse_graph(NET)
    check_types(graph, "s")  # N is symbolic: nothing to hold
    static = graph.with_(types={**graph.types, "x": TensorType(DType.F32, (3, 4)), "m": TensorType(DType.F32, (3, 5))})
    with pytest.raises(VerifyError, match=r"stage s: node 'product': .*expected f32\[3,4\] for 'm', got f32\[3,5\]"):
        check_types(static, "s")


def test_random_feeds_fit_the_inputs() -> None:
    feeds = random_feeds(parse_graph(NET))
    assert feeds["x"].shape == (2, 4) and feeds["x"].dtype == np.float32 and feeds["k"].dtype == np.int64
    assert np.array_equal(feeds["x"], random_feeds(parse_graph(NET))["x"])


def test_unknown_levels_are_refused(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QGLOW_VERIFY", "4")
    with pytest.raises(ConfigError, match="QGLOW_VERIFY must be 0, 1, 2 or 3, got '4'"):
        float_graph(digits / "model.onnx")
