"""How float and int8 are compared: sessions give the numbers that the reference gives."""

from __future__ import annotations

from pathlib import Path

import pytest

import qglow
from qglow.pipeline import float_graph
from qglow.profiling import open_dataset
from qglow.report.agreement import measure


def test_outputs_by_sessions_are_those_of_the_reference(digits: Path) -> None:
    graph = float_graph(digits / "model.onnx")
    bundle = qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", digits, samples=8))
    data = open_dataset(digits, graph).spread(6)
    by_value, by_session = measure(graph, bundle.graph, data), measure(graph, bundle.graph, data, layers=False)
    assert by_value.samples == by_session.samples == 6 and by_value.outputs.keys() == by_session.outputs.keys() == set(graph.outputs)
    for name, error in by_value.outputs.items():
        assert by_session.outputs[name].sqnr_db == pytest.approx(error.sqnr_db, abs=1e-3)
    assert by_value.layers and not set(by_session.layers) - set(graph.outputs)


def test_no_sample_is_begun_after_the_time(digits: Path) -> None:
    graph = float_graph(digits / "model.onnx")
    data = open_dataset(digits, graph)
    assert measure(graph, graph, data, 0.0, layers=False).samples == 1
