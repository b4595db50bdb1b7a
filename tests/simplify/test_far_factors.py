"""Factors that float32 weights cannot take in stay where they are."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from qglow.onnx_import import load
from qglow.reference import evaluate
from qglow.simplify import simplify

Array = np.ndarray


def convolved(op: str, weight: float, factor: Array) -> tuple[Array, Array]:
    """op(Conv(x), factor) as it is written and simplified."""
    rng = np.random.default_rng(0)
    constants = {"w": (rng.normal(size=(4, 3, 1, 1)) * weight).astype(np.float32), "f": factor.astype(np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], name="conv"),
        helper.make_node(op, ["h", "f"], ["y"], name="scale"),
    ]
    sides = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, 4, 4]) for n, c in (("x", 3), ("y", 4))]
    stored = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    proto = helper.make_graph(nodes, "g", sides[:1], sides[1:], stored)
    graph = load(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 18)]))
    feeds = {"x": (rng.normal(size=(1, 3, 4, 4)) / weight).astype(np.float32)}
    return evaluate(graph, feeds)["y"], evaluate(simplify(graph), feeds)["y"]


@pytest.mark.parametrize("shape", [(), (4, 1, 1)])
@pytest.mark.parametrize(
    ("op", "weight", "factor"),
    [
        ("Mul", 1e25, 1e20),
        ("Div", 1e25, 1e-20),
        ("Mul", 1e-25, 1e-18),
        ("Mul", 1.0, np.inf),
        ("Mul", 1.0, 3.0),
        ("Div", 1.0, np.inf),
    ],
)
def test_factors(op: str, weight: float, factor: float, shape: tuple[int, ...]) -> None:
    want, got = convolved(op, weight, np.full(shape, factor))
    assert np.array_equal(np.isfinite(want), np.isfinite(got))
    assert np.allclose(got, want, rtol=1e-5, atol=1e-6 * np.abs(want[np.isfinite(want)]).max(initial=0))
