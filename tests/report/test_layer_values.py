"""int8 values of layers come from the kernels and are those of the reference: of the whole graph, of layers alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qglow
from qglow.graph import Graph
from qglow.profiling import open_dataset
from qglow.reference import evaluate
from qglow.reference.evaluate import evaluate_node
from qglow.report import layer_values
from qglow.report.layer_values import LayerValues


@pytest.fixture(scope="module")
def quantized(digits: Path) -> Graph:
    recorded = qglow.profile(digits / "model.onnx", digits, samples=4)
    return qglow.quantize(digits / "model.onnx", recorded, {"exclude": ("conv_b",)}, check=False).graph


def all_values(graph: Graph, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    values: dict[str, np.ndarray] = {}
    evaluate(graph, feeds, keep=values.__setitem__)
    return values


def test_values_are_those_of_the_reference(quantized: Graph, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = LayerValues(quantized)
    monkeypatch.setattr(layer_values, "evaluate_all", None)  # the reference is not asked
    monkeypatch.setattr(layer_values, "evaluate_node", None)
    sessions: set[int] = set()
    for sample in open_dataset(digits, quantized).spread(3):
        wanted, made = all_values(quantized, sample.feeds), layers.of(sample.feeds)
        assert {n for n in wanted if n not in quantized.constants} <= made.keys()
        for name, value in made.items():
            assert np.array_equal(value, wanted[name]), name
        known = {**quantized.constants, **wanted}
        inputs = {n.name: [known[i] if i else None for i in n.inputs] for n in quantized.nodes[1::2]}
        alone = layers.alone(inputs)
        assert len(alone) == len(inputs) > 3
        for node in quantized.nodes[1::2]:
            (value,) = evaluate_node(quantized, node, inputs[node.name])
            assert np.array_equal(alone[node.outputs[0]], value), node.name
        sessions |= {id(s) for s in layers._sessions.values()}
    assert len(sessions) == len(layers._sessions) == 2, "a session is made once, and serves all samples"


def test_layers_alone_read_what_they_are_given(quantized: Graph, digits: Path) -> None:
    """And not what the layer before them makes."""
    feeds = next(iter(open_dataset(digits, quantized))).feeds
    wanted = all_values(quantized, feeds)
    node = next(n for n in quantized.nodes if n.op == "Conv" and quantized.types[n.inputs[0]].is_quantized)
    maker = quantized.producers()[node.inputs[0]]
    other = np.roll(wanted[node.inputs[0]], 1, axis=-1)
    known = {**quantized.constants, **wanted}
    inputs = {n.name: [other if i == maker.outputs[0] else known[i] if i else None for i in n.inputs]
              for n in (maker, node)}  # fmt: skip
    alone = LayerValues(quantized).alone(inputs)
    assert np.array_equal(alone[maker.outputs[0]], wanted[maker.outputs[0]])
    assert np.array_equal(alone[node.outputs[0]], evaluate_node(quantized, node, inputs[node.name])[0])
    assert not np.array_equal(alone[node.outputs[0]], wanted[node.outputs[0]])


def test_the_reference_takes_the_place_of_a_session_that_fails(
    quantized: Graph, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(bundle: object) -> None:
        raise RuntimeError("no session")

    feeds = next(iter(open_dataset(digits, quantized))).feeds
    wanted = all_values(quantized, feeds)
    monkeypatch.setattr(layer_values, "InferenceSession", refuse)
    for layers in (LayerValues(quantized), LayerValues(quantized, "interpreter")):
        for _ in range(2):
            made = layers.of(feeds)
            assert all(np.array_equal(made[n], v) for n, v in wanted.items() if quantized.types[n].is_quantized)
