"""Float forms that run on kernels with the reference's bits: convolutions over three dimensions, transposed ones with
dilations, reductions of a function of the elements, and Clip with one bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

import qglow
from qglow.pipeline import float_graph
from qglow.reference import evaluate
from qglow.runtime.step_profile import host_steps


def runs_on_kernels(nodes: list[Any], x: np.ndarray, **constants: np.ndarray) -> None:
    value = helper.make_tensor_value_info
    arrays = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    outputs = [value("y", 1, None)]
    made = helper.make_graph(nodes, "g", [value("x", 1, x.shape)], outputs, arrays)
    graph = float_graph(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))
    want = evaluate(graph, {"x": x})["y"]
    for threads in (1, 2):
        session = qglow.InferenceSession(graph, threads=threads)
        assert np.array_equal(session.run(None, {"x": x})[0], want, equal_nan=True)
        assert not host_steps(session, {"x": x})


@pytest.mark.parametrize("seed", range(6))
def test_convolutions_over_three_dimensions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, (kernel, strides, dilations) = 1 + seed % 2, rng.integers(1, 4, (3, 3)).tolist()
    x = rng.normal(0, 1, (1 + seed % 3, 2 * groups, 9, 8, 9)).astype(np.float32)
    w = rng.normal(0, 1, (19 * groups, 2, *kernel)).astype(np.float32)
    more = {"strides": strides, "dilations": dilations, "pads": rng.integers(0, 3, 6).tolist(), "group": groups}
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], **more),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "v"], ["y"]),
    ]
    v = rng.normal(0, 1, (3, 19 * groups, 1, 1, 1)).astype(np.float32)
    runs_on_kernels(nodes, x, w=w, b=np.arange(19 * groups, dtype=np.float32), v=v)


@pytest.mark.parametrize(("strides", "dilations"), [([1, 1], [2, 3]), ([2, 3], [2, 2]), ([3, 2], [2, 4])])
def test_transposed_convolutions_with_dilations(strides: list[int], dilations: list[int]) -> None:
    rng = np.random.default_rng(1)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=strides, dilations=dilations, pads=[1, 0, 1, 1])
    w = rng.normal(0, 1, (3, 5, 3, 2)).astype(np.float32)
    runs_on_kernels([node], rng.normal(0, 1, (2, 3, 6, 5)).astype(np.float32), w=w)


@pytest.mark.parametrize("op", ["ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceMin"])
def test_reductions_of_a_function(op: str) -> None:
    x = np.random.default_rng(2).normal(0, 1, (2, 3, 21)).astype(np.float32)
    x[0, 0, 0], x[1, 1, 2] = np.nan, -np.inf
    for axes in ([2], [1, 2], [1], [0]):
        runs_on_kernels([helper.make_node(op, ["x", "axes"], ["y"])], x, axes=np.array(axes))


@pytest.mark.parametrize("names", [["x", "bound"], ["x", "", "bound"]])
def test_one_bound_leaves_infinities_and_what_is_no_number(names: list[str]) -> None:
    x = np.array([[-np.inf, -1, -0.0, 0.3, 7, np.inf, np.nan]], np.float32)
    runs_on_kernels([helper.make_node("Clip", names, ["y"])], x, bound=np.array(0.3, np.float32))
