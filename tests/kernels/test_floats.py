"""Float kernels: the same bits as the reference, which uses IEEE operations in a fixed order."""

from __future__ import annotations

import numpy as np
import pytest
from test_engines import every_thread_works, isa

from qglow.graph import GraphBuilder, Kind, TensorType
from qglow.instructions.table import FLOAT_BINARY, FLOAT_UNARY
from qglow.reference import evaluate, float_math
from qglow.runtime import InferenceSession
from qglow.runtime.native import NativePlan, Segment

__all__ = ["every_thread_works", "isa"]
RNG = np.random.default_rng(0)
SPECIAL = np.array([0.0, -0.0, 1e-45, -1e-45, 1e30, -1e30, 88.7, 89.0, -87.5, -103.9, -200.0, np.inf, -np.inf], np.float32)


def floats(*shape: int) -> TensorType:
    return TensorType(Kind.F32, shape)


def check(b: GraphBuilder, inputs: list[str], outputs: list[str], special: bool = False) -> None:
    graph = b.build("floats", inputs, outputs)
    feeds = {n: RNG.normal(0, 5, b.types[n].static_shape).astype(np.float32) for n in inputs}
    if special:
        for x in feeds.values():
            x.reshape(-1)[: SPECIAL.size] = SPECIAL[: x.size]
    expected = evaluate(graph, feeds)
    for threads in (1, 2):
        session = InferenceSession(graph, threads)
        for name, y in zip(outputs, session.run(None, feeds), strict=True):
            assert np.array_equal(y, expected[name], equal_nan=True), f"{name} differs on {threads} threads"
        plan = next(iter(session._plans.values()))
        assert isinstance(plan, NativePlan) and all(isinstance(s, Segment) for s in plan._steps)


@pytest.mark.parametrize("size", [1, 7, 16, 33, 100])
def test_functions_and_sums(isa: str, size: int) -> None:
    b = GraphBuilder()
    b.types |= {"x": floats(3, size), "z": floats(3, size), "c": floats(3, 1), "r": floats(size)}
    positive = b.add_constant("positive", np.abs(RNG.normal(0, 1, (3, size))).astype(np.float32))
    outputs = [b.add(op, ("x",), floats(3, size), op.lower()) for op in FLOAT_UNARY if op != "Sqrt"]
    outputs.append(b.add("Sqrt", (b.add("Mul", ("x", "x"), floats(3, size), "square"),), floats(3, size), "root"))
    for op in FLOAT_BINARY:
        outputs += [b.add(op, pair, floats(3, size), "y") for pair in (("x", "z"), ("x", "c"), ("c", "z"), ("r", "x"), ("x", positive))]
    check(b, ["x", "z", "c", "r"], outputs, special=True)


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 40, 100])
def test_softmax(isa: str, size: int) -> None:
    b = GraphBuilder()
    b.types["x"] = floats(2, 3, size)
    check(b, ["x"], [b.add("Softmax", ("x",), floats(2, 3, size), "y", axis=-1)])


def test_broadcasting_over_a_turned_operand(isa: str) -> None:
    b = GraphBuilder()
    b.types |= {"x": floats(2, 5, 7), "z": floats(2, 7, 5)}
    t = b.add("Transpose", ("z",), floats(2, 5, 7), "t", perm=(0, 2, 1))
    check(b, ["x", "z"], [b.add("Div", ("x", t), floats(2, 5, 7), "y")])


def ulps(y: np.ndarray, exact: np.ndarray) -> float:
    spacing = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    return float((np.abs(y - exact) / spacing).max())


def test_functions_are_within_their_bound() -> None:
    x = np.concatenate([RNG.uniform(-87, 88, 300_000), RNG.normal(0, 1, 300_000)]).astype(np.float32)
    exact = x.astype(np.float64)
    assert ulps(float_math.exp(x), np.exp(exact)) < 3
    assert ulps(float_math.sigmoid(x), 1 / (1 + np.exp(-exact))) < 3
    assert ulps(float_math.tanh(x), np.tanh(exact)) < 3
    assert np.isnan(float_math.exp(np.array([np.nan], np.float32))[0]) and np.isnan(float_math.tanh(np.array([np.nan], np.float32))[0])
