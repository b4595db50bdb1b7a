"""Float kernels: the same bits as the reference, which uses IEEE operations in a fixed order."""

from __future__ import annotations

from math import erf

import numpy as np
import pytest
from test_engines import every_thread_works, isa

from qglow.graph import DType, GraphBuilder, TensorType
from qglow.instructions.lower import lower
from qglow.instructions.program import Instruction
from qglow.instructions.table import FLOAT_BINARY, FLOAT_UNARY
from qglow.reference import FLOAT, evaluate, float_math
from qglow.runtime import InferenceSession
from qglow.runtime.native import NativePlan, Segment
from qglow.runtime.step_profile import plan_of

__all__ = ["every_thread_works", "isa"]
RNG = np.random.default_rng(0)
SPECIAL = np.array(
    [0.0, -0.0, 1e-45, -1e-45, 1e30, -1e30, 88.7, 89.0, -87.5, -103.9, -200.0, np.inf, -np.inf], np.float32
)


def floats(*shape: int) -> TensorType:
    return TensorType(DType.F32, shape)


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
        plan = plan_of(session, feeds)
        assert isinstance(plan, NativePlan) and all(isinstance(s, Segment) for s in plan._steps)


@pytest.mark.parametrize("size", [1, 7, 16, 33, 100])
def test_functions_and_sums(isa: str, size: int) -> None:
    b = GraphBuilder()
    b.types |= {"x": floats(3, size), "z": floats(3, size), "c": floats(3, 1), "r": floats(size)}
    positive = b.add_constant("positive", np.abs(RNG.normal(0, 1, (3, size))).astype(np.float32))
    plain = [op for op in FLOAT_UNARY if op in FLOAT and op not in ("Sqrt", "Log", "Clip")]
    outputs = [b.add(op, ("x",), floats(3, size), op.lower()) for op in plain]
    outputs.append(b.add("Log", (b.add("Abs", ("x",), floats(3, size), "abs"),), floats(3, size), "log"))
    outputs.append(b.add("Log", ("x",), floats(3, size), "log"))
    bounds = (b.add_constant("low", np.float32(-1.5)), b.add_constant("high", np.float32(4)))
    outputs += [b.add("Clip", ("x", *bounds[:n]), floats(3, size), "clip") for n in ((0, 2) if size > 1 else (2,)) if n]
    outputs.append(b.add("LeakyRelu", ("x",), floats(3, size), "leaky", alpha=0.3))
    for exponent in (2.0, 0.5, -1.0, 3.0, -2.0, 1.5, -0.7):
        base = "x" if exponent == round(exponent) else outputs[-1]
        outputs.append(b.add("Pow", (base, b.add_constant("p", np.float32(exponent))), floats(3, size), "pow"))
    outputs.append(b.add("Sqrt", (b.add("Mul", ("x", "x"), floats(3, size), "square"),), floats(3, size), "root"))
    for op in FLOAT_BINARY:
        outputs += [
            b.add(op, pair, floats(3, size), "y")
            for pair in (("x", "z"), ("x", "c"), ("c", "z"), ("r", "x"), ("x", positive))
        ]
    check(b, ["x", "z", "c", "r"], outputs, special=True)


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 40, 100])
def test_softmax(isa: str, size: int) -> None:
    b = GraphBuilder()
    b.types["x"] = floats(2, 3, size)
    check(b, ["x"], [b.add("Softmax", ("x",), floats(2, 3, size), "y", axis=-1)])


@pytest.mark.parametrize("size", [1, 16, 35])
def test_what_is_several_instructions(isa: str, size: int) -> None:
    b = GraphBuilder()
    b.types |= {"x": floats(3, size), "z": floats(2, 5, size, 1), "image": floats(2, 6, 5, size)}
    factors = [b.add_constant(n, RNG.normal(0, 1, 6).astype(np.float32)) for n in ("scale", "shift")]
    outputs = [
        b.add("LogSoftmax", ("x",), floats(3, size), "y"),
        b.add("LogSoftmax", ("z",), floats(2, 5, size, 1), "y", axis=2),
    ]
    outputs.append(b.add("InstanceNormalization", ("image", *factors), floats(2, 6, 5, size), "n", epsilon=1e-3))
    joined = (b.add("InstanceNormalization", ("image", *factors), floats(2, 6, 5, size), "n"), "image")
    outputs.append(b.add("Concat", joined, floats(2, 12, 5, size), "c", axis=1))
    check(b, ["x", "z", "image"], outputs)


def test_a_sigmoid_times_its_input_is_one_step(isa: str) -> None:
    b = GraphBuilder()
    b.types["x"] = floats(3, 19)
    s, alone = b.add("Sigmoid", ("x",), floats(3, 19), "s"), b.add("Sigmoid", ("x",), floats(3, 19), "t")
    y, z = b.add("Mul", ("x", s), floats(3, 19), "y"), b.add("Mul", (alone, "x"), floats(3, 19), "z")
    check(b, ["x"], [y, z, alone], special=True)
    kinds = [
        step.kind
        for step in lower(b.build("swish", ["x"], [y, z, alone]), "avx2").steps
        if isinstance(step, Instruction)
    ]
    assert kinds == ["float_unary", "float_unary", "float_binary"]


@pytest.mark.parametrize("size", [1, 15, 16, 17, 40, 100])
def test_rows(isa: str, size: int) -> None:
    b = GraphBuilder()
    b.types |= {"x": floats(2, 3, size), "z": floats(2, size, 5, 3)}
    outputs = []
    for op in ("ReduceMax", "ReduceSum", "ReduceMean"):
        for axes, x, shape in (
            ((2,), "x", (2, 3, 1)),
            ((1, 2), "x", (2, 1, 1)),
            ((1,), "x", (2, 1, size)),
            ((2, 3), "z", (2, size, 1, 1)),
        ):
            at = b.add_constant("axes", np.array(axes, np.int64))
            outputs.append(b.add(op, (x, at), floats(*shape), "r"))
    gain, shift = (b.add_constant(h, RNG.normal(0, 1, size).astype(np.float32)) for h in ("gain", "shift"))
    outputs.append(b.add("LayerNormalization", ("x", gain, shift), floats(2, 3, size), "norm", epsilon=1e-5))
    check(b, ["x", "z"], [*outputs, b.add("LayerNormalization", ("x", gain), floats(2, 3, size), "norm", axis=2)])


@pytest.mark.parametrize("channels", [1, 15, 16, 17, 70])
def test_windows(isa: str, channels: int) -> None:
    b = GraphBuilder()
    b.types["x"] = floats(2, channels, 9, 7)
    half, one = floats(2, channels, 5, 4), floats(2, channels, 1, 1)
    window = {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}
    outputs = [b.add(op, ("x",), half, "p", **window) for op in ("MaxPool", "AveragePool")]
    outputs.append(b.add("AveragePool", ("x",), half, "p", **window, count_include_pad=1))
    outputs.append(b.add("MaxPool", ("x",), floats(2, channels, 4, 3), "p", kernel_shape=(3, 2), strides=(2, 2)))
    outputs += [b.add(op, ("x",), one, "g") for op in ("GlobalAveragePool", "GlobalMaxPool")]
    scales = b.add_constant("scales", np.array([1, 1, 2, 1.6], np.float32))
    for mode in ("nearest", "linear"):
        outputs.append(b.add("Resize", ("x", "", scales), floats(2, channels, 18, 11), "up", mode=mode))
    widths = b.add_constant("pads", np.array([0, 1, 2, 0, 0, 0, 1, 3], np.int64))
    outputs.append(b.add("Pad", ("x", widths), floats(2, channels + 1, 12, 10), "pad"))
    slopes = b.add_constant("slopes", RNG.normal(0, 1, (channels, 1, 1)).astype(np.float32))
    outputs.append(b.add("PRelu", (outputs[0], slopes), half, "prelu"))
    check(b, ["x"], outputs)


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
    positive = np.exp(RNG.uniform(-87, 88, 300_000)).astype(np.float32)
    near = (1 + RNG.normal(0, 1e-2, 300_000)).astype(np.float32)
    assert ulps(float_math.log(positive), np.log(positive.astype(np.float64))) < 2
    assert ulps(float_math.log(near), np.log(near.astype(np.float64))) < 2
    assert ulps(float_math.erf(x[300_000:320_000]), np.array([erf(v) for v in exact[300_000:320_000]])) < 4
    for y in (1.5, -0.7, 3.0, 10.0, 0.1):
        base = np.exp(RNG.uniform(-40, 40, 100_000) / max(1, abs(y))).astype(np.float32)
        assert (
            ulps(float_math.power(base, np.float32(y)), np.power(base.astype(np.float64), float(np.float32(y)))) < 0.51
        )
    ends = np.array([1e-45, 0, -0.0, -1, np.inf, np.nan, 1], np.float32)
    assert np.array_equal(
        float_math.log(ends),
        np.array([-103.27893, -np.inf, -np.inf, np.nan, np.inf, np.nan, 0], np.float32),
        equal_nan=True,
    )
    for y in (3.0, -2.0, 10.0):
        with np.errstate(all="ignore"):
            ends = np.array([0, -0.0, np.inf, -np.inf, np.nan, -1, -2, 1e-45, 3e38, 1], np.float32)
            assert np.array_equal(float_math.power(ends, np.float32(y)), np.power(ends, np.float32(y)), equal_nan=True)
    assert np.isnan(float_math.exp(np.array([np.nan], np.float32))[0]) and np.isnan(
        float_math.tanh(np.array([np.nan], np.float32))[0]
    )
