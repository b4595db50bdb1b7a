"""What a mask puts far away is neither signal nor noise in the layers' table; what else lies beyond the range is."""

from __future__ import annotations

import numpy as np
import pytest
from models.builder import LOWEST, Case
from models.masks import float_input, two_masks, unseen

import qglow
from qglow.graph import Graph
from qglow.graph.masks import masked_values
from qglow.graph.text import parse_graph
from qglow.report.agreement import Agreement, compare_layers
from qglow.report.stored import with_masks_cut

MASKED = """
graph "g"
input %x: u8[2,4]<0.1, 200>
input %m: u8[2,4]<0.1, 255>
%s: u8[2,4]<0.1, 200> = Add(%x, %m) "a"
%y: f32[2,4] = Softmax(%s) {"axis": -1} "b"
output %y
"""


@pytest.mark.parametrize("case", [
    pytest.param(float_input(-np.inf, True), id="infinite"), pytest.param(float_input(LOWEST, True), id="lowest"),
    pytest.param(two_masks(), id="two"), pytest.param(unseen("minus"), id="minus"),
    pytest.param(unseen("where"), id="where"),
])  # fmt: skip
def test_no_mask_is_among_the_noisy_layers(case: Case) -> None:
    bundle = qglow.quantize(case.model, qglow.profile(case.model, case.seen))
    report = qglow.compare(case.model, bundle, case.others)
    low = [r.name for r in report.layers if min(r.sqnr_db, 200 if r.own_sqnr_db is None else r.own_sqnr_db) < 20]
    assert not low, low
    worst_layers = report.to_blame()
    assert worst_layers and not any(part in name for name in worst_layers for part in ("Where", "Sub", "Log", "Max"))


def masked_graph() -> Graph:
    return parse_graph(MASKED)


def ratio(real: list[float], stored: list[int]) -> float:
    """In dB, of the masked scores `s`, whose type reaches from -20 to 5.5."""
    graph, agreement = masked_graph(), Agreement()
    value = np.array([real, [1, 2, 3, 4]], np.float32)
    made = np.array([stored, [210, 220, 230, 240]], np.uint8)
    compare_layers(agreement, with_masks_cut(graph, {"s": value}), graph, {"s": made})
    return agreement.layers["s"].sqnr_db


def test_only_what_is_plainly_masked_is_cut() -> None:
    assert masked_values(masked_graph()) == {"s", "x", "m"}
    assert ratio([1, 2, -np.inf, LOWEST], [210, 220, 0, 0]) > 60
    assert ratio([1, 2, -np.inf, 3], [210, 220, 255, 230]) < 5  # not masked in int8
    assert ratio([1, 2, -60, 3], [210, 220, 0, 230]) < 10  # cut off, by less than what a mask does
    assert ratio([1, 2, np.nan, 3], [210, 220, 0, 230]) == -200
