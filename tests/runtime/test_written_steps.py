"""Host steps that are written straight into their arrays give what the law gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qglow.graph import DType, Graph, Node, TensorType
from qglow.reference import bind_written, evaluate_node

BINARY = ["Add", "Sub", "Mul", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]
WHOLE = [np.int64, np.int32]
CASTS = [(a, b) for a in (np.int64, np.int32, np.bool_) for b in (np.float32, np.int64, np.int32, np.uint8, np.bool_)]
CASTS += [(np.float32, b) for b in (np.float32, np.float16, np.float64, np.bool_)]


def graph_of(node: Node, inputs: list[Any], made: Any) -> Graph:
    values = dict(zip((*node.inputs, *node.outputs), (*inputs, made), strict=True))
    types = {n: TensorType(DType.of(a.dtype), a.shape) for n, a in values.items()}
    return Graph("g", node.inputs, node.outputs, (node,), types, {})


def held(node: Node, inputs: list[Any]) -> None:
    (wanted,) = evaluate_node(graph_of(node, inputs, inputs[0]), node, inputs)
    made = np.zeros_like(wanted)
    write = bind_written(graph_of(node, inputs, made), node, inputs, made)
    assert write is not None
    for _ in range(2):
        write()
        np.testing.assert_array_equal(made, wanted)
        for a in inputs:  # the arrays stay, their elements change
            a[...] = a[::-1].copy() if a.ndim else a
        (wanted,) = evaluate_node(graph_of(node, inputs, made), node, inputs)


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("dtype", WHOLE)
def test_whole_numbers(op: str, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.integers(-9, 9, (3, 5)).astype(dtype) for _ in range(2))
    b[b == 0] = 4
    held(Node(op, ("a", "b"), ("y",), {}, "n"), [a, b])
    held(Node(op, ("a", "b"), ("y",), {}, "n"), [a, np.array(3, dtype)])


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_truths(op: str) -> None:
    rng = np.random.default_rng(1)
    held(Node(op, ("a", "b"), ("y",), {}, "n"), [rng.random((3, 5)) < 0.5, rng.random((3, 5)) < 0.5])


@pytest.mark.parametrize("op", ["Equal", "Less", "GreaterOrEqual"])
def test_floats_are_compared(op: str) -> None:
    a, b = np.array([[1, np.nan, -0.0, 3]], np.float32), np.array([[1, 1, 0.0, 2]], np.float32)
    held(Node(op, ("a", "b"), ("y",), {}, "n"), [a, b])


@pytest.mark.parametrize(("source", "target"), CASTS)
def test_casts_that_cut_nothing_off(source: Any, target: Any) -> None:
    x = np.array([[0, 1, 300, -1, 1 << 24, (1 << 24) + 1]]).astype(source)
    held(Node("Cast", ("x",), ("y",), {"to": np.dtype(target)}, "n"), [x])


def test_what_has_a_law_of_its_own_is_left_to_it() -> None:
    x = np.array([1.5, np.nan], np.float32)
    for node in (Node("Cast", ("x",), ("y",), {"to": np.dtype(np.int64)}, "n"), Node("Exp", ("x",), ("y",), {}, "n")):
        made = np.zeros(2, np.int64 if node.op == "Cast" else np.float32)
        assert bind_written(graph_of(node, [x], made), node, [x], made) is None
