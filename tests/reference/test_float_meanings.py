"""Forms of float operators that onnxruntime does not take, beside the formulas of ONNX."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.graph import Node
from qglow.reference import FLOAT

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [2, 3, 4, 6])
def test_lrn_of_even_sizes(size: int) -> None:
    """LRN-13: of size channels, floor((size - 1) / 2) lie before, ceil((size - 1) / 2) behind."""
    x = RNG.normal(0, 1, (2, 7, 3)).astype(np.float32)
    before, behind = (size - 1) // 2, size // 2
    squares = np.stack([(x[:, max(0, c - before) : c + behind + 1] ** 2).sum(1) for c in range(7)], 1)
    node = Node("LRN", ("x",), ("y",), {"size": size, "alpha": 0.5, "beta": 0.75, "bias": 1.5}, "n")
    assert np.allclose(FLOAT["LRN"](node, [x])[0], x / (1.5 + 0.5 / size * squares) ** 0.75, rtol=1e-5)


def test_pads_that_cut_by_one() -> None:
    x = RNG.normal(0, 1, (3, 4)).astype(np.float32)
    for widths, want in (
        ([-1, 0, 0, 0], x[1:]),
        ([0, -1, 0, 0], x[:, 1:]),
        ([0, 0, 0, -1], x[:, :3]),
        ([-1, 1, 0, -2], np.pad(x[1:, :2], [(0, 0), (1, 0)])),
    ):
        got = FLOAT["Pad"](Node("Pad", ("x", "w"), ("y",), {}, "n"), [x, np.array(widths)])[0]
        assert np.array_equal(got, want)


def test_parts_of_nothing() -> None:
    """A Split has parts of any size; a sequence of equal parts has none of size 0."""
    x = RNG.normal(0, 1, (4, 2)).astype(np.float32)
    parts = FLOAT["Split"](Node("Split", ("x", "s"), ("a", "b", "c"), {"axis": 0}, "n"), [x, np.array([0, 3, 1])])
    assert [p.shape for p in parts] == [(0, 2), (3, 2), (1, 2)] and np.array_equal(np.concatenate(parts), x)
    with pytest.raises(ValueError, match="into parts of .-1, 5"):
        FLOAT["Split"](Node("Split", ("x", "s"), ("a", "b"), {"axis": 0}, "n"), [x, np.array([-1, 5])])
