"""Values at the ends of what there is: NaN and infinities, windows and rows that hold nothing to compute, scales that
lie far apart."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper
from test_engines import Small, check_session, every_thread_works, isa, u8

from qglow.graph import DType, Graph, GraphBuilder, TensorType
from qglow.reference import evaluate
from qglow.reference.arithmetic import quantize

__all__ = ["every_thread_works", "isa"]
EXTREMES = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 3e38, 1e-40, -0.0, 0.5, 1.5, 2.5, -1e6, 1e6], np.float32)


def by_onnxruntime(x: np.ndarray, scale: float, zero: int) -> np.ndarray:
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    constants = [numpy_helper.from_array(np.float32(scale), "s"), numpy_helper.from_array(np.uint8(zero), "z")]
    inputs, outputs = helper.make_tensor_value_info("x", 1, x.shape), helper.make_tensor_value_info("y", 2, x.shape)
    graph = helper.make_graph([node], "q", [inputs], [outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


@pytest.mark.smoke
@pytest.mark.parametrize(("scale", "zero"), [(1.0, 7), (1e-30, 128), (1e30, 0)])
def test_what_quantize_makes_of_extremes_is_what_onnxruntime_makes(scale: float, zero: int) -> None:
    x = np.tile(EXTREMES, 5)
    assert np.array_equal(quantize(x, u8(*x.shape, scale=scale, zero=zero)), by_onnxruntime(x, scale, zero))


@pytest.mark.parametrize("shape", [(3, 13), (1, 5, 4, 13), (2, 13, 3, 3)])
def test_extremes_are_quantized_the_same_by_every_set(isa: str, shape: tuple[int, ...]) -> None:
    """Runs, and planes to pixels: of whole vectors, and one by one."""
    b = GraphBuilder()
    b.types["x"] = TensorType(DType.F32, shape)
    outputs = [
        b.add("Quantize", ("x",), u8(*shape, scale=s, zero=z), "y") for s, z in ((1.0, 7), (1e-30, 128), (1e30, 0))
    ]
    if len(shape) == 4:
        outputs.append(b.add("MaxPool", (outputs[0],), b.types[outputs[0]], "p", kernel_shape=(1, 1)))
    graph = b.build("extremes", ["x"], outputs)
    feeds = {"x": np.resize(EXTREMES, shape)}
    for threads in (1, 2):
        check_session(graph, feeds, evaluate(graph, feeds), threads, 0)


@pytest.mark.parametrize("as_float", [False, True])
def test_windows_that_lie_in_the_padding_alone(isa: str, as_float: bool) -> None:
    """The mean of nothing is 0, the largest of nothing the lowest: nothing is left from the run before."""
    window = {"kernel_shape": (2, 2), "pads": (2, 2, 2, 2), "strides": (1, 1)}
    s = Small(u8(1, 20, 4, 5))
    y = TensorType(DType.F32, (1, 20, 7, 8)) if as_float else u8(1, 20, 7, 8, zero=90)
    mean = s.b.add("AveragePool", ("x0",), y, "mean", **window)
    s.check(mean, s.b.add("MaxPool", ("x0",), u8(1, 20, 7, 8), "max", **window))


def float_graph_of(
    op: str, shape: tuple[int, ...], out: tuple[int, ...], constants: dict[str, np.ndarray], **attributes: object
) -> Graph:
    b = GraphBuilder()
    b.types["x"] = TensorType(DType.F32, shape)
    names = [b.add_constant(n, a) for n, a in constants.items()]
    return b.build("float", ["x"], [b.add(op, ("x", *names), TensorType(DType.F32, out), "y", **attributes)])


def test_a_constant_row_with_an_epsilon_of_0_is_nan(isa: str) -> None:
    """0 / 0, as in onnxruntime; rows behind it are computed."""
    graph = float_graph_of("LayerNormalization", (4, 24), (4, 24), {"g": np.ones(24, np.float32)}, axis=-1, epsilon=0.0)
    x = np.random.default_rng(0).normal(0, 1, (4, 24)).astype(np.float32)
    x[1] = 2
    want = evaluate(graph, {"x": x})
    assert np.array_equal(np.isnan(want["y"]).all(1), [False, True, False, False])
    session_agrees(graph, x, want)


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
def test_float_windows_that_lie_in_the_padding_alone(isa: str, op: str) -> None:
    graph = float_graph_of(op, (1, 20, 4, 5), (1, 20, 7, 8), {}, kernel_shape=(2, 2), pads=(2, 2, 2, 2))
    x = np.random.default_rng(0).normal(0, 1, (1, 20, 4, 5)).astype(np.float32)
    want = evaluate(graph, {"x": x})
    assert want["y"][0, 0, 0, 0] == (0 if op == "AveragePool" else np.finfo(np.float32).min)
    session_agrees(graph, x, want)


def session_agrees(graph: Graph, x: np.ndarray, want: dict[str, np.ndarray]) -> None:
    from qglow.runtime import InferenceSession

    for threads in (1, 2):
        session = InferenceSession(graph, threads)
        for _ in range(2):
            assert np.array_equal(session.run(None, {"x": x})[0], want["y"], equal_nan=True)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_sums_of_scales_that_lie_far_apart_run_where_they_are_right(isa: str, op: str) -> None:
    """Beyond what int32 holds they are host steps: what leaves it is at an end of the range."""
    for scale, host in ((100.0, 0), (1e9, 1)):
        s = Small(u8(1, 40, scale=scale, zero=128), u8(1, 40, scale=scale, zero=3))
        s.check(
            s.b.add(op, ("x0", "x1"), u8(1, 40, scale=1.0, zero=128), "y"),
            host=host if op != "Mul" or scale > 1e3 else 0,
        )
