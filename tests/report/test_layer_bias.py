"""Biases corrected layer by layer: sums beside explicit windows, the gain on samples that took no part beside
onnxruntime, the same bits again, and what is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
import pytest

import qglow
from bench.accuracy import made
from bench.accuracy.agreement import powers, summary
from qglow import quantizing
from qglow.graph import Graph, Node
from qglow.profiling import Sample
from qglow.quantization.product_rows import as_rows, as_weights, row_sums, rows_of
from qglow.quantization.state import QuantState
from qglow.report import gain as gain_of
from qglow.report import layer_bias, widen
from qglow.report.agreement import Agreement
from tests.trained import stored

CONVOLUTIONS = [
    ({"kernel_shape": (3, 3), "pads": (1, 0, 1, 2), "strides": (2, 1), "group": 1}, (4, 6, 3, 3)),
    ({"kernel_shape": (3, 2), "pads": (0, 1, 2, 0), "dilations": (1, 2), "group": 3}, (6, 2, 3, 2)),
    ({"kernel_shape": (5, 5), "auto_pad": "SAME_UPPER", "strides": (3, 3), "group": 6}, (6, 1, 5, 5)),
]


@cache
def subject() -> made.Made:
    """A depthwise network: noise behind its ReLUs has a mean."""
    return made.MODELS["depthwise"]()


@cache
def bundle(correct: bool) -> qglow.Bundle:
    profile = qglow.profile(subject().proto, subject().calibration)
    return qglow.quantize(subject().proto, profile, {"correct_bias": correct, "widen_percent": 0.0})


def decibels(made_bundle: qglow.Bundle) -> float:
    real = onnxruntime.InferenceSession(subject().proto.SerializeToString(), providers=["CPUExecutionProvider"])
    session = qglow.InferenceSession(made_bundle, 1)
    pairs = [powers(real.run(None, t), session.run(None, t)) for t in subject().tests]
    return summary(np.array([s for s, _ in pairs]), np.array([n for _, n in pairs]), None).mean


@pytest.mark.parametrize(("attributes", "shape"), CONVOLUTIONS)
def test_sums_are_those_of_all_windows(attributes: dict[str, object], shape: tuple[int, ...]) -> None:
    node = Node("Conv", ("x", "w"), ("y",), attributes)
    x = np.random.default_rng(3).integers(0, 256, (2, 6, 11, 9)).astype(np.uint8)
    sums, count = row_sums(node, x, shape, 117)
    rows = rows_of(node, x, shape, 117, 1 << 30)
    assert count == rows.shape[1] and np.array_equal(sums, rows.sum(1))


@pytest.mark.parametrize(("attributes", "shape"), CONVOLUTIONS)
def test_rows_by_weights_are_the_convolution(attributes: dict[str, object], shape: tuple[int, ...]) -> None:
    from qglow.reference.float_conv import convolve

    node, rng = Node("Conv", ("x", "w"), ("y",), attributes), np.random.default_rng(4)
    x, w = rng.integers(0, 256, (2, 6, 11, 9)).astype(np.uint8), rng.integers(-127, 128, shape).astype(np.float64)
    rows = rows_of(node, x, shape, 5, 1 << 30)
    made_of_rows = np.matmul(rows, as_rows(node, w).transpose(0, 2, 1))  # [groups, rows, channels]
    y = convolve(x.astype(np.float64) - 5, w, node)
    assert np.array_equal(np.moveaxis(y, 1, -1).reshape(-1, shape[0]), np.concatenate(made_of_rows, 1))
    assert np.array_equal(as_weights(node, as_rows(node, w), shape), w)


@pytest.mark.parametrize("op", ["MatMul", "Gemm"])
def test_rows_of_a_matrix_product(op: str) -> None:
    attributes = {"transA": 0, "transB": 1, "alpha": 1.0, "beta": 1.0} if op == "Gemm" else {}
    node, rng = Node(op, ("x", "w"), ("y",), attributes), np.random.default_rng(5)
    x, w = rng.integers(0, 256, (7, 6)).astype(np.uint8), rng.integers(-9, 9, (4, 6) if op == "Gemm" else (6, 4))
    sums, count = row_sums(node, x, w.shape, 3)
    assert count == 7 and np.array_equal(sums[0], (x.astype(int) - 3).sum(0))
    y = (x.astype(int) - 3) @ (w.T if op == "Gemm" else w)
    assert np.array_equal(rows_of(node, x, w.shape, 3, 100)[0] @ as_rows(node, w)[0].T, y)


def test_a_shift_that_chance_may_have_made_is_smaller() -> None:
    sure, chance = np.array([1.0, 1.1, 0.9, 1.0]), np.array([3.0, -2.0, 2.5, -3.5])
    found = layer_bias._sure(np.stack([sure, chance, np.zeros(4)], 1))
    assert 0.99 < found[0] <= 1 and found[1] == 0 and found[2] == 0


def test_a_gain_is_kept_where_most_samples_have_it() -> None:
    """Not one that a single sample makes, however large."""
    rng = np.random.default_rng(6)
    signal, noise = np.full((12, 1), 100.0), rng.uniform(0.9, 1.1, (12, 1))
    loud = np.where(np.arange(12)[:, None] == 5, 50.0, noise)
    for before, after, kept in ((noise, 0.8 * noise, True), (loud, 1.05 * noise, False), (noise, noise, False)):
        gain = gain_of.Gain(np.stack([before, signal]), np.stack([after, signal]))
        assert gain.is_sure() == kept
        assert (gain.after_db > gain.before_db + 0.1) == (before is loud or kept)


def test_no_sample_judges_what_it_has_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The samples that layers are corrected by, and those that a graph is compared on, in their order: two halves that
    judge each other, all that teach; then formats are chosen on the half that the search has not learned from."""
    taught, judged = list[set[int]](), list[set[int]]()
    profile = qglow.profile(subject().proto, subject().calibration)
    sweep, compare = layer_bias._Sweep.__init__, layer_bias.agreement_with

    def learns(self: layer_bias._Sweep, graph: Graph, data: Sequence[Sample]) -> None:
        taught.append({s.position for s in data})
        sweep(self, graph, data)

    def compares(graph: Graph, data: Sequence[Sample], real: Sequence[Any]) -> Agreement:
        judged.append({s.position for s in data})
        return compare(graph, data, real)

    monkeypatch.setattr(layer_bias._Sweep, "__init__", learns)
    monkeypatch.setattr(layer_bias, "agreement_with", compares)
    monkeypatch.setattr(widen, "agreement_with", compares)
    monkeypatch.setattr(quantizing, "cross_validate", lambda *_: Agreement())
    qglow.quantize(subject().proto, profile, {"calibration": "mse"})
    one, two, both = taught[:3]
    assert not one & two and one | two == both and len(both) == 16
    assert judged[:4] == [two, two, one, one] and judged[4] == two and len(judged[4]) == 8


def test_new_samples_gain() -> None:
    account = bundle(True).manifest["biases"]
    assert account["samples"] == 16
    assert account["after_db"] > account["before_db"]
    assert "biases" not in bundle(False).manifest
    assert decibels(bundle(True)) > decibels(bundle(False)) + 0.3


def test_biases_alone_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is corrected, from what equation (26) alone made."""
    pairs, corrected = list[tuple[QuantState, QuantState]](), layer_bias.LayerBiases.corrected

    def recorded(self: layer_bias.LayerBiases, result: QuantState) -> QuantState:
        pairs.append((result, corrected(self, result)))
        return pairs[-1][1]

    monkeypatch.setattr(layer_bias.LayerBiases, "corrected", recorded)
    profile = qglow.profile(subject().proto, subject().calibration)
    qglow.quantize(subject().proto, profile, {"widen_percent": 0.0})
    before, after = (state.graph for state in pairs[-1])
    a, b = before.constants, after.constants
    differ = {name for name in b if not np.array_equal(a[name], b[name])}
    assert a.keys() == b.keys() and differ and all(name.endswith(".bias.i32") for name in differ)
    assert before.nodes == after.nodes and before.types == after.types


def test_the_same_bits_again() -> None:
    profile = qglow.profile(subject().proto, subject().calibration)
    again = qglow.quantize(subject().proto, profile, {"widen_percent": 0.0})
    assert all(np.array_equal(a, again.graph.constants[n]) for n, a in bundle(True).graph.constants.items())


def test_few_samples_correct_nothing() -> None:
    profile = qglow.profile(subject().proto, subject().calibration[:3])
    assert "biases" not in qglow.quantize(subject().proto, profile).manifest


def test_what_does_not_run_apart_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: object, end: int) -> None:
        raise RuntimeError("no part")

    monkeypatch.setattr(layer_bias._Sweep, "_run_to", fails)
    profile = qglow.profile(subject().proto, subject().calibration)
    assert "biases" not in qglow.quantize(subject().proto, profile).manifest


@pytest.mark.parametrize(("gain", "judged_by"), [(-1000.0, 4), (1000.0, 8)])
def test_held_back_samples_that_choose_do_not_judge(
    gain: float, judged_by: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them judge where nothing was chosen."""
    monkeypatch.setattr(gain_of, "GAIN_DB", gain)
    monkeypatch.setattr(gain_of, "CHANCE", -np.inf)
    samples = [dict(s) for s in (*subject().calibration, *subject().tests[:16])]
    proto = stored.model("depthwise")
    profile = qglow.profile(proto, samples)
    manifest = qglow.quantize(proto, profile, {"widen_percent": 0.0}).manifest
    assert len(profile.held_back) == 8 and ("biases" in manifest) == (judged_by == 4)
    assert "biases" not in manifest or manifest["biases"]["samples"] == 4
    assert manifest["agreement"]["samples"] == judged_by
