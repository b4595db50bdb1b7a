"""A Resize by taps and weights of images whose pixels do not follow each other, and into such."""

from __future__ import annotations

import numpy as np
import pytest

import qglow
from qglow.graph.text import parse_graph
from qglow.reference import evaluate

TEXT = """graph "resized"
input %x: f32[{n},{c},5,7]
const %scales: f32[4] = [1.0, 1.0, {rows}, {columns}]
%t: f32[*] = Transpose(%x) {{"perm": [0, 1, 3, 2]}} "t"
%y: f32[*] = Resize({x}, _, %scales) {{"mode": "cubic"}} "y"
%r: f32[*] = Relu(%y) "r"
%z: f32[*] = Concat(%r, %y) {{"axis": {axis}}} "z"
output %z
"""


@pytest.mark.parametrize("x", ["%x", "%t"])
@pytest.mark.parametrize(("n", "c"), [(1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize(("rows", "columns"), [(2.0, 1.0), (1.0, 2.0), (2.0, 2.0)])
def test_rows_are_runs_of_pixels_or_copied(x: str, n: int, c: int, rows: float, columns: float) -> None:
    asked = {"x": np.random.default_rng((n, c)).normal(0, 1, (n, c, 5, 7)).astype(np.float32)}
    for axis in (1, 2, 3):
        g = parse_graph(TEXT.format(n=n, c=c, x=x, rows=rows, columns=columns, axis=axis))
        (got,) = qglow.InferenceSession(g, 1).run(None, asked)
        assert np.array_equal(got, evaluate(g, asked)["z"])
