"""What evaluations are estimated to take: from shapes alone."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.graph.text import parse_graph
from qglow.reference import evaluate
from qglow.report.effort import ELEMENT, NODE, PRODUCT, seconds_of

GRAPH = parse_graph("""
graph "g"
input %x: f32[1,4,6,6]
input %m: f32[5,7]
input %s: f32[3,1,7]
input %w: f32[8,2,3,3]
input %t: f32[4,3,2,2]
input %k: f32[7,9]
input %n: f32[9,7]
input %a: f32[1,8,7]
input %b: f32[1,8,2]
%conv: f32[1,8,6,6] = Conv(%x, %w) {"group": 2, "pads": [1, 1, 1, 1]} "conv"
%up: f32[1,6,7,7] = ConvTranspose(%x, %t) {"group": 2} "up"
%p: f32[5,9] = MatMul(%m, %k) "p"
%q: f32[5,9] = Gemm(%m, %n) {"transB": 1} "q"
%y: f32[3,1,1,2] = LSTM(%s, %a, %b) {"hidden_size": 2} "y"
%r: f32[5,9] = Relu(%p) "r"
output %r
""")
ELEMENTS_AND_TERMS = {
    "conv": (8 * 36, 18),
    "up": (6 * 49, 16),
    "p": (45, 7),
    "q": (45, 7),
    "y": (6, 4 * (7 + 2)),
    "r": (45, 0),
}


@pytest.mark.parametrize("name", ELEMENTS_AND_TERMS)
def test_effort_counts_elements_and_their_terms(name: str) -> None:
    values: dict[str, np.ndarray] = {}
    feeds = {i: np.ones(GRAPH.types[i].static_shape, np.float32) for i in GRAPH.inputs}
    evaluate(GRAPH, feeds, keep=values.__setitem__)
    elements, terms = ELEMENTS_AND_TERMS[name]
    assert seconds_of(GRAPH, [name], values) == pytest.approx(NODE + elements * (ELEMENT + terms * PRODUCT))
    assert seconds_of(GRAPH, [name, "r"], values) > seconds_of(GRAPH, [name], values) or name == "r"
    assert seconds_of(GRAPH, [], values) == 0
