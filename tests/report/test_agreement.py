"""How float and int8 are compared: the float side comes from another engine, the int8 side from sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

import qglow
from qglow.oracle import float_oracle
from qglow.oracle.oracle import ReferenceOracle
from qglow.pipeline import float_graph
from qglow.profiling import open_dataset
from qglow.report.agreement import measure


def test_outputs_are_compared_with_another_engine(digits: Path) -> None:
    model = digits / "model.onnx"
    graph, bundle = float_graph(model), qglow.quantize(model, qglow.profile(model, digits, samples=8))
    data = open_dataset(digits, graph).spread(6)
    theirs = measure(float_oracle(model, graph), bundle.graph, data)
    ours = measure(ReferenceOracle(graph), bundle.graph, data)
    assert theirs.oracle.startswith("onnxruntime ") and ours.oracle == "numpy reference"
    assert theirs.samples == ours.samples == 6 and theirs.outputs.keys() == ours.outputs.keys() == set(graph.outputs)
    for name, error in ours.outputs.items():
        assert theirs.outputs[name].sqnr_db == pytest.approx(error.sqnr_db, abs=1e-2)


def test_no_sample_is_begun_after_the_time(digits: Path) -> None:
    graph = float_graph(digits / "model.onnx")
    assert measure(ReferenceOracle(graph), graph, open_dataset(digits, graph), 0.0).samples == 1
