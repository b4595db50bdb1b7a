"""Choices are counted where there are scores of classes; an output of another form is compared all the same."""

from __future__ import annotations

import numpy as np
import pytest

import qglow
from qglow.errors import ConfigError
from qglow.graph import Graph, GraphBuilder, float_type
from qglow.quantization import QuantConfig
from qglow.report.top1 import Top1Agreement, is_choice, lost_interval


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        *(((), False), ((1,), False), ((5,), True), ((1, 5), True), ((2, 5), False), ((1, 1, 5), False)),
        *(((1, 0), False), ((1, 5, 1, 1), True), ((2, 5, 1, 1), False), ((1, 5, 2, 1), False), ((1, 1, 1, 5), False)),
    ],
)
def test_a_choice_is_one_row_of_scores(shape: tuple[int, ...], expected: bool) -> None:
    assert is_choice(np.zeros(shape)) is expected


def test_votes_count_agreement_and_accuracy() -> None:
    votes = Top1Agreement()
    for real, int8, label in ((0, 0, 0), (1, 2, 1), (2, 2, 2), (0, 1, 1), (1, 2, 1), (2, 2, None)):
        votes.add(np.eye(3)[real], np.eye(3)[int8], label)
    found = votes.to_dict()
    low, high = found.pop("lost_low"), found.pop("lost_high")
    assert found == {
        "top1_agreement": 0.5, "is_choice": True, "top1_fp32": 0.8, "top1_int8": 0.6, "labelled": 5,
    }  # fmt: skip
    assert low < 20 < high and (votes.lost, votes.won) == (2, 1)
    assert votes.drop == pytest.approx(20.0)
    assert Top1Agreement().drop is None


def test_the_interval_of_points_lost_holds_the_truth_as_often_as_it_says() -> None:
    """Float is right and int8 wrong on 4 % of samples, the other way round on 1 %: 3 points are lost."""
    rng, inside = np.random.default_rng(5), 0
    for lost, won in zip(rng.binomial(400, 0.04, 2000), rng.binomial(400, 0.01, 2000), strict=True):
        low, high = lost_interval(int(lost), int(won), 400)
        inside += low <= 3.0 <= high
    assert 0.935 < inside / 2000 < 0.975
    assert lost_interval(0, 0, 100)[1] > 1.0  # no loss seen on so few is no proof of none


def scalar_net() -> Graph:
    """A convolution whose mean over everything is an output without dimensions."""
    b = GraphBuilder()
    b.types["x"] = float_type(1, 2, 4, 4)
    b.fresh("x")
    w = b.add_constant("w", np.random.default_rng(0).normal(0, 1, (3, 2, 1, 1)).astype(np.float32))
    conv = b.add("Conv", ("x", w), float_type(1, 3, 4, 4), "conv")
    return b.build("g", ("x",), (b.add("ReduceMean", (conv,), float_type(), "mean", keepdims=0),))


def test_an_output_without_dimensions_is_compared_but_chooses_nothing() -> None:
    graph, rng = scalar_net(), np.random.default_rng(1)
    data = [{"x": rng.normal(1, 1, (1, 2, 4, 4)).astype(np.float32)} for _ in range(3)]
    recorded = qglow.profile(graph, data)
    bundle = qglow.quantize(graph, recorded, QuantConfig(min_sqnr_db=10.0))
    found = qglow.compare(graph, bundle, data).to_dict()["outputs"]["mean"]
    assert found["is_choice"] is False and found["sqnr_db"] > 10
    with pytest.raises(ConfigError, match="max_accuracy_drop needs samples with labels"):
        qglow.quantize(graph, recorded, QuantConfig(max_accuracy_drop=1.0))
