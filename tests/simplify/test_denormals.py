"""Denormal weights of products count as zeros, and nothing else does: rule (39) and its bound."""

from __future__ import annotations

import numpy as np
import pytest

import qglow
from qglow.graph import Array, Graph, Node, float_type
from qglow.reference import evaluate
from qglow.simplify.denormals import flush_denormal_weights

rng = np.random.default_rng(30)
W = rng.normal(0, 0.1, (16, 8)).astype(np.float32)
TINY = np.where(rng.random(W.shape) < 0.25, np.float32(2.0**-127) * rng.random(W.shape).astype(np.float32), W)
TINY[:, 3] = 2.0**-140  # a whole column
X = rng.normal(0, 3, (5, 16)).astype(np.float32)


def graph(w: Array, *more: Node, outputs: tuple[str, ...] = ("y",)) -> Graph:
    nodes = (Node("MatMul", ("x", "w"), ("y",), {}, "product"), *more)
    types = {"x": float_type(5, 16), "w": float_type(16, 8), "y": float_type(5, 8)}
    types |= {o: float_type(16, 8) for n in more for o in n.outputs}
    return Graph("g", ("x",), outputs, nodes, types, {"w": w})


def test_no_denormal_is_left_and_the_bound_holds() -> None:
    flushed = flush_denormal_weights(graph(TINY))
    w = flushed.constants["w"]
    assert not np.any((np.abs(w) < 2.0**-126) & (w != 0)) and np.array_equal(w[w != 0], TINY[w != 0])
    before, after = (evaluate(g, {"x": X})["y"].astype(np.float64) for g in (graph(TINY), flushed))
    rounding = 2.0**-23 * np.abs(after)  # of the sums themselves
    assert np.all(np.abs(before - after) <= np.abs(X).sum(1, dtype=np.float64)[:, None] * 2.0**-126 + rounding)
    assert np.array_equal(qglow.InferenceSession(flushed, 1).run(None, {"x": X})[0], evaluate(flushed, {"x": X})["y"])


@pytest.mark.parametrize("kept", [
    graph(W), graph(W * np.float32(2.0**-100)), graph(np.full_like(W, 2.0**-130)),
    graph(TINY, Node("Neg", ("w",), ("n",), {}, "neg"), outputs=("y", "n")), graph(TINY, outputs=("y", "w")),
], ids=["none", "small", "all", "read by another", "an output"])  # fmt: skip
def test_what_is_left_alone(kept: Graph) -> None:
    assert flush_denormal_weights(kept) is kept


def test_denormal_activations_are_numbers() -> None:
    """They are not flushed: neither in kernels nor in the reference."""
    x = np.full((5, 16), 2.0**-135, np.float32)
    g = graph(W)
    (got,) = qglow.InferenceSession(g, 1).run(None, {"x": x})
    assert np.array_equal(got, evaluate(g, {"x": x})["y"]) and np.any(got != 0) and np.all(np.abs(got) < 2.0**-126)
