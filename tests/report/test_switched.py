"""A float graph with a switch for each rounding: beside evaluations by numpy, one rounding at a time, and beside
onnxruntime with all switches off."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnxruntime
import pytest

import qglow
from bench.accuracy import made
from qglow.pipeline import float_graph
from qglow.reference import evaluate
from qglow.report.roundings import Rounding, roundings_of
from qglow.report.switched import SwitchedGraph


@cache
def subject(name: str) -> tuple[Any, qglow.Bundle, list[Rounding], SwitchedGraph]:
    model = made.MODELS[name]()
    graph = float_graph(model.proto)
    bundle = qglow.quantize(graph, qglow.profile(graph, model.calibration), check=False)
    found = list(roundings_of(graph, bundle.graph, qglow.QuantConfig()))
    return graph, bundle, found, SwitchedGraph(graph, bundle.graph, found)


@pytest.mark.parametrize("name", ["unequal", "transformer", "denoiser"])
def test_one_rounding_is_what_numpy_makes_of_it(name: str) -> None:
    """`unequal` has factors of channels, and `denoiser` an LSTM."""
    graph, bundle, roundings, switched = subject(name)
    feeds = made.MODELS[name]().tests[0]
    real: dict[str, Any] = {}
    evaluate(graph, feeds, keep=real.__setitem__)  # NOTE: the last bit decides where a value is rounded to
    assert any(r.weights is not None for r in roundings) and any(r.weights is None for r in roundings)
    for rounding in roundings[:: max(1, len(roundings) // 12)]:
        changed = rounding.changed(graph, bundle.graph, real)
        for output, got in zip(graph.outputs, switched.outputs(feeds, [rounding]), strict=True):
            want = changed.get(output, real[output])
            noise = np.linalg.norm(want - real[output])  # what the rounding adds
            assert np.linalg.norm(got - want) <= 0.05 * noise + 1e-5 * np.linalg.norm(want), rounding.what


@pytest.mark.parametrize("name", ["unequal", "denoiser"])
def test_with_all_switches_off_it_is_the_model(name: str) -> None:
    *_, switched = subject(name)
    model = made.MODELS[name]()
    session = onnxruntime.InferenceSession(model.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for want, got in zip(session.run(None, model.tests[1]), switched.outputs(model.tests[1], ()), strict=True):
        assert np.allclose(got, want, rtol=1e-4, atol=1e-5)
