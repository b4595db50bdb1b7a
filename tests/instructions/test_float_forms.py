"""Float forms that run on kernels with the reference's bits: convolutions over three dimensions, transposed ones over
them and with dilations, reductions of a function of the elements, and Clip with one bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper, numpy_helper

import qglow
from qglow.pipeline import float_graph
from qglow.reference import evaluate
from qglow.runtime.step_profile import host_steps


def model_of(nodes: list[Any], x: np.ndarray, constants: dict[str, np.ndarray]) -> ModelProto:
    value = helper.make_tensor_value_info
    arrays = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    outputs = [value("y", 1, None)]
    made = helper.make_graph(nodes, "g", [value("x", 1, x.shape)], outputs, arrays)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def runs_on_kernels(nodes: list[Any], x: np.ndarray, **constants: np.ndarray) -> None:
    graph = float_graph(model_of(nodes, x, constants))
    want = evaluate(graph, {"x": x})["y"]
    for threads in (1, 2):
        session = qglow.InferenceSession(graph, threads=threads)
        assert np.array_equal(session.run(None, {"x": x})[0], want, equal_nan=True)
        assert not host_steps(session, {"x": x})


def agrees_with_onnxruntime(nodes: list[Any], x: np.ndarray, **constants: np.ndarray) -> None:
    model = model_of(nodes, x, constants)
    peer = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = qglow.InferenceSession(float_graph(model), threads=1).run(None, {"x": x})[0]
    np.testing.assert_allclose(got, peer.run(None, {"x": x})[0], rtol=1e-5, atol=1e-5)


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


POOLS: list[dict[str, Any]] = [
    {"kernel_shape": [5, 1, 1]},
    {"kernel_shape": [3, 1, 1], "strides": [2, 1, 1], "pads": [1, 0, 0, 2, 0, 0]},
    {"kernel_shape": [1, 3, 2], "strides": [1, 2, 1], "pads": [0, 1, 0, 0, 1, 1]},
    {"kernel_shape": [1, 2, 1], "pads": [0, 1, 0, 0, 1, 0]},
    {"kernel_shape": [1, 1, 1]},
    {"kernel_shape": [1, 1, 1], "strides": [2, 1, 2]},
    {"kernel_shape": [2, 3, 2], "strides": [1, 2, 2]},
    {"kernel_shape": [2, 3, 2], "pads": [1, 2, 0, 1, 0, 1]},
    {"kernel_shape": [4, 1, 1], "strides": [3, 1, 1], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [1, 2, 3], "dilations": [1, 2, 1], "pads": [0, 1, 2, 0, 0, 1]},
    {"kernel_shape": [3, 1, 2], "strides": [2, 1, 2], "ceil_mode": 1},
]


@pytest.mark.parametrize("more", POOLS, ids=str)
@pytest.mark.parametrize("channels", [1, 19])
def test_pools_over_three_dimensions(more: dict[str, Any], channels: int) -> None:
    x = np.random.default_rng(channels).normal(0, 1, (2, channels, 8, 5, 6)).astype(np.float32)
    pools: list[tuple[str, dict[str, Any]]] = [("MaxPool", {}), ("AveragePool", {})]
    for op, padded in (*pools, ("AveragePool", {"count_include_pad": 1})):
        if padded and "ceil_mode" in more:
            continue
        turned = [helper.make_node(op, ["x"], ["p"], **more, **padded), helper.make_node("Neg", ["p"], ["y"])]
        agrees_with_onnxruntime(turned, x)
        special = x.copy()
        special[0, 0, 1, 2, 3], special[1, 0, 5, 3, 2], special[1, 0, 2] = np.nan, np.inf, -np.inf
        runs_on_kernels(turned, special)


@pytest.mark.parametrize(("strides", "dilations"), [([1, 1], [2, 3]), ([2, 3], [2, 2]), ([3, 2], [2, 4])])
def test_transposed_convolutions_with_dilations(strides: list[int], dilations: list[int]) -> None:
    rng = np.random.default_rng(1)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=strides, dilations=dilations, pads=[1, 0, 1, 1])
    w = rng.normal(0, 1, (3, 5, 3, 2)).astype(np.float32)
    runs_on_kernels([node], rng.normal(0, 1, (2, 3, 6, 5)).astype(np.float32), w=w)


VOLUMES: list[dict[str, Any]] = [
    {"strides": [2, 2, 2]},
    {"strides": [1, 2, 3], "dilations": [2, 1, 2], "pads": [1, 0, 2, 0, 1, 1]},
    {"strides": [3, 1, 2], "output_padding": [2, 0, 1], "pads": [2, 1, 0, 1, 1, 2], "group": 2},
    {"strides": [4, 5, 3], "kernel_shape": [3, 2, 2]},
    {"strides": [2, 3, 2], "output_shape": [8, 7, 7], "group": 3},
    {"strides": [2, 2, 3], "auto_pad": "SAME_UPPER"},
    {"strides": [2, 1, 2], "dilations": [1, 2, 2], "auto_pad": "SAME_LOWER"},
    {"strides": [3, 2, 1], "auto_pad": "VALID", "group": 6},
]


@pytest.mark.parametrize("more", VOLUMES, ids=str)
def test_transposed_convolutions_over_three_dimensions(more: dict[str, Any]) -> None:
    """With phases of no taps, of which the bias alone is left."""
    rng, groups = np.random.default_rng(3), more.get("group", 1)
    x = rng.normal(0, 1, (2, 6, 4, 3, 5)).astype(np.float32)
    w = rng.normal(0, 1, (6, 12 // groups, *more.get("kernel_shape", [3, 2, 4]))).astype(np.float32)
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], **more)
    runs_on_kernels([node], x, w=w, b=np.arange(12, dtype=np.float32))
    agrees_with_onnxruntime([node], x, w=w, b=np.arange(12, dtype=np.float32))


def test_volumes_between_transposed_convolutions_and_others() -> None:
    """One reads what lies channels-last as it is; what is no number in one image stays there."""
    rng = np.random.default_rng(4)
    x = rng.normal(0, 1, (3, 2, 5, 4, 5)).astype(np.float32)
    x[1, 0, 2, 2, 2], x[2, 1, 0, 0, 0] = np.nan, np.inf
    w, v, u = (rng.normal(0, 1, s).astype(np.float32) for s in ((2, 9, 1, 3, 2), (9, 4, 1, 1, 1), (5, 4, 1, 1, 1)))
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["a"], strides=[2, 2, 2], pads=[0, 1, 0, 0, 0, 1]),
        helper.make_node("ConvTranspose", ["a", "v"], ["b"]),
        helper.make_node("Relu", ["b"], ["r"]),
        helper.make_node("Conv", ["r", "u"], ["y"], strides=[1, 2, 1]),
    ]
    runs_on_kernels(nodes, x, w=w, v=v, u=u)


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
