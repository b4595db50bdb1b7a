"""Each simplification keeps the float meaning and leaves the nodes that it promises."""

from __future__ import annotations

import sys

import numpy as np

from qglow.graph import Graph, GraphBuilder, TensorType, float_type
from qglow.graph.rewrite import Rewrites
from qglow.reference import evaluate
from qglow.simplify import PASSES, simplify

RNG = np.random.default_rng(0)


def array(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


def check(graph: Graph, ops: list[str], shape: tuple[int, ...]) -> None:
    x = {"x": array(*shape)}
    before, after = evaluate(graph, x), evaluate(simplify(graph), x)
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-4, atol=1e-5)
    assert [n.op for n in simplify(graph).nodes] == ops


def builder(shape: tuple[int, ...]) -> GraphBuilder:
    b = GraphBuilder()
    b.types["x"] = float_type(*shape)
    b.fresh("x")
    return b


def test_batch_norm_and_scale_fold_into_conv() -> None:
    b = builder((1, 3, 8, 8))
    t: TensorType = float_type(1, 4, 6, 6)
    y = b.add("Conv", ("x", b.add_constant("w", array(4, 3, 3, 3))), t, "c")
    y = b.add("BatchNormalization", (y, *(b.add_constant(f"p{k}", np.abs(array(4)) + 0.5) for k in range(4))), t, "bn")
    y = b.add("Mul", (y, b.add_constant("m", array(4, 1, 1))), t, "m1")
    check(b.build("g", ("x",), (y,)), ["Conv"], (1, 3, 8, 8))


def test_zero_pad_folds_into_conv() -> None:
    b = builder((1, 2, 5, 5))
    p = b.add("Pad", ("x", b.add_constant("pads", np.array([0, 0, 1, 0, 0, 0, 1, 2]))), float_type(1, 2, 7, 7), "p")
    y = b.add("Conv", (p, b.add_constant("w", array(3, 2, 3, 3))), float_type(1, 3, 5, 5), "c")
    check(b.build("g", ("x",), (y,)), ["Conv"], (1, 2, 5, 5))


def test_matmul_takes_its_bias_and_max_becomes_leaky_relu() -> None:
    b = builder((2, 4, 8))
    t = float_type(2, 4, 5)
    y = b.add("MatMul", ("x", b.add_constant("w", array(8, 5))), t, "mm")
    y = b.add("Add", (y, b.add_constant("b", array(5))), t, "a")
    half = b.add("Mul", (y, b.add_constant("h", np.float32(0.1).reshape(()))), t, "h1")
    check(b.build("g", ("x",), (b.add("Max", (y, half), t, "mx"),)), ["MatMul", "LeakyRelu"], (2, 4, 8))


def test_a_table_that_changes_nothing_is_left_out() -> None:
    """Zeros that are added to scores, as of a relative position bias that was never trained; not where they widen."""
    b = builder((2, 3, 4))
    t = float_type(2, 3, 4)
    y = b.add("Add", ("x", b.add_constant("zeros", np.zeros((3, 4), np.float32))), t, "a")
    y = b.add("Mul", (y, b.add_constant("ones", np.ones((2, 3, 1), np.float32))), t, "m")
    y = b.add("Div", (b.add("Relu", (y,), t, "r"), b.add_constant("units", np.ones(4, np.float32))), t, "d")
    some = np.ones((3, 4), np.float32)
    some[2, 3] = 2
    y = b.add("Mul", (y, b.add_constant("some", some)), t, "s")
    wide = b.add_constant("wide", np.zeros((5, 1, 1, 1), np.float32))
    y = b.add("Add", (b.add("Tanh", (y,), t, "t"), wide), float_type(5, 2, 3, 4), "w")
    check(b.build("g", ("x",), (y,)), ["Relu", "Mul", "Tanh", "Add"], (2, 3, 4))


def test_lone_batch_norm_becomes_an_affine_function() -> None:
    b = builder((1, 4, 3, 3))
    t = float_type(1, 4, 3, 3)
    y = b.add(
        "BatchNormalization", ("x", *(b.add_constant(f"p{k}", np.abs(array(4)) + 0.5) for k in range(4))), t, "bn"
    )
    check(b.build("g", ("x",), (y,)), ["Mul", "Add"], (1, 4, 3, 3))


def test_a_pass_is_a_list_of_rewrites_or_says_why_not() -> None:
    others = [p for p in PASSES if not isinstance(p, Rewrites) and p.__module__.startswith("qglow.simplify.")]
    assert len(others) >= 5
    for other in others:
        assert "It is no rewrite: " in (sys.modules[other.__module__].__doc__ or ""), other.__module__
