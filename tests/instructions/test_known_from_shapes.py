"""Values that follow from shapes alone, and layers whose result is a part of a concatenation: no step on the host."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.pipeline import float_graph
from qglow.reference import evaluate
from qglow.runtime.step_profile import host_steps

RNG = np.random.default_rng(0)


def model(nodes: list, shape: list, **constants: np.ndarray) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def float_array(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


def on_kernels(made: onnx.ModelProto, x: np.ndarray, quantized: bool, least_db: float) -> None:
    """The reference's bits on kernels alone, close to onnxruntime on the float model."""
    graph = float_graph(made)
    if quantized:
        samples = [{"x": float_array(*x.shape)} for _ in range(8)]
        graph = qglow.quantize(made, qglow.profile(made, samples), check=False).graph
        assert any(t.is_quantized for t in graph.types.values())
    want = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )
    session = qglow.InferenceSession(graph, 1)
    (got,) = session.run(None, {"x": x})
    assert np.array_equal(got, evaluate(graph, {"x": x})["y"]) and not host_steps(session, {"x": x})
    assert 10 * np.log10((want[0] ** 2).sum() / max(1e-30, ((got - want[0]) ** 2).sum())) > least_db


def test_a_convolution_of_what_shapes_make_is_computed_once() -> None:
    """Positions as Fourier features, projected: its weights may be large."""
    nodes = [
        helper.make_node("Shape", ["x"], ["all"]),
        helper.make_node("Slice", ["all", "two", "four"], ["sides"]),
        helper.make_node("Concat", ["one_nine", "sides"], ["shape"], axis=0),
        helper.make_node("Expand", ["line", "shape"], ["p"]),
        helper.make_node("Conv", ["p", "w", "b"], ["c"]),
        helper.make_node("Tile", ["c", "ones"], ["t"]),
        helper.make_node("Add", ["x", "t"], ["y"]),
    ]
    made = model(
        nodes, ["n", 2000, "h", "w"], two=np.array([2]), four=np.array([4]), one_nine=np.array([1, 9]),
        line=float_array(1, 9, 1, 1), w=float_array(2000, 9, 1, 1), b=float_array(2000), ones=np.ones(4, np.int64),
    )  # fmt: skip
    on_kernels(made, float_array(2, 2000, 3, 2), False, 120)


def test_operators_without_a_definition_of_what_shapes_make_are_computed_once() -> None:
    """A mask that is written part by part, as of shifted windows; what is drawn at random is drawn in each run."""
    nodes = [
        helper.make_node("Shape", ["x"], ["sides"]),
        helper.make_node("Expand", ["zero", "sides"], ["empty"]),
        helper.make_node("ScatterND", ["empty", "where", "regions"], ["mask"]),
        helper.make_node("Add", ["x", "mask"], ["y"]),
    ]
    parts = {"zero": np.zeros((1, 1), np.float32), "where": np.array([[0, 1], [2, 0]]), "regions": float_array(2)}
    on_kernels(model(nodes, ["n", "m"], **parts), float_array(3, 4), False, 120)
    nodes[2] = helper.make_node("RandomNormalLike", ["empty"], ["mask"], dtype=TensorProto.FLOAT)
    session = qglow.InferenceSession(float_graph(model(nodes, ["n", "m"], zero=parts["zero"])), 1)
    x = float_array(3, 4)
    assert not np.array_equal(*(session.run(None, {"x": x})[0] for _ in range(2)))


def test_a_product_with_what_shapes_make() -> None:
    """As of keys that are positions: the second operand of an int8 product of two is known when the plan is made."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["q"]),
        helper.make_node("Shape", ["x"], ["all"]),
        helper.make_node("Slice", ["all", "one", "two"], ["length"]),
        helper.make_node("Concat", ["four", "eight", "length"], ["shape"], axis=0),
        helper.make_node("Expand", ["line", "shape"], ["k"]),
        helper.make_node("MatMul", ["q", "k"], ["y"]),
    ]
    made = model(
        nodes, [4, "n", 16], w=float_array(16, 8), one=np.array([1]), two=np.array([2]), four=np.array([4]),
        eight=np.array([8]), line=float_array(4, 8, 1),
    )  # fmt: skip
    on_kernels(made, float_array(4, 6, 16), True, 25)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("op", ["LayerNormalization", "Softmax", "Pad"])
def test_rows_and_borders_that_a_concatenation_takes(op: str, batch: int) -> None:
    """The class token is normalized alone; tokens are shifted by one."""
    of_first = {
        "LayerNormalization": helper.make_node("LayerNormalization", ["first", "gain", "gain"], ["n"], axis=-1),
        "Softmax": helper.make_node("Softmax", ["first"], ["n"], axis=-1),
        "Pad": helper.make_node("Pad", ["first", "pads"], ["n"]),
    }[op]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Slice", ["m", "zero", "one", "one"], ["first"]),
        helper.make_node("Slice", ["m", "one", "five", "one"], ["rest"]),
        of_first,
        helper.make_node("Concat", ["n", "rest"], ["c"], axis=1),
        helper.make_node("MatMul", ["c", "v"], ["y"]),
    ]
    made = model(
        nodes, [batch, 5, 12], w=float_array(12, 16), v=float_array(16, 8), gain=np.abs(float_array(16)),
        pads=np.array([0, 1, 0, 0, 0, 0]), zero=np.array([0]), one=np.array([1]), five=np.array([5]),
    )  # fmt: skip
    on_kernels(made, float_array(batch, 5, 12), True, 20)
