"""Models that onnxruntime takes though ONNX's checker refuses them give the same values here."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime as ort
import pytest
from onnx import helper

import qglow
import qglow.pipeline
from qglow.errors import ModelError

F = onnx.TensorProto.FLOAT
N = helper.make_node


def model(
    nodes: list[onnx.NodeProto], x: onnx.ValueInfoProto, *outputs: onnx.ValueInfoProto, opset: int = 18
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", [x], list(outputs))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def typeless(name: str) -> onnx.ValueInfoProto:
    return onnx.ValueInfoProto(name=name)


X = helper.make_tensor_value_info("x", F, ["N", 3])
ANY = helper.make_tensor_value_info("x", F, None)
Y = helper.make_tensor_value_info("y", F, None)
TRUE = helper.make_tensor("t", onnx.TensorProto.BOOL, [], [True])
GROUPED = {
    "shape": np.array([1, 2, 3], np.int64), "scale": np.array([2.0], np.float32), "bias": np.array([0.5], np.float32)
}  # fmt: skip
BRANCH = helper.make_graph([N("Neg", ["b"], ["c"])], "branch", [], [helper.make_tensor_value_info("c", F, None)])
CASES = {
    "an output without a shape": model([N("Relu", ["x"], ["y"])], X, Y),
    "outputs without a type": model(
        [N("Relu", ["x"], ["y"]), N("Shape", ["x"], ["z"])], X, typeless("y"), typeless("z")
    ),
    "an output with a type that says none": model(
        [N("Relu", ["x"], ["y"])], X, onnx.ValueInfoProto(name="y", type=onnx.TypeProto(denotation="nothing"))
    ),
    "an input without a shape": model([N("Relu", ["x"], ["y"])], ANY, Y),
    "nodes in the other order": model([N("Exp", ["b"], ["y"]), N("Neg", ["a"], ["b"]), N("Abs", ["x"], ["a"])], X, Y),
    "a branch that reads a later value": model(
        [
            N("If", ["t"], ["y"], then_branch=BRANCH, else_branch=BRANCH),
            N("Constant", [], ["t"], value=TRUE),
            N("Abs", ["x"], ["b"]),
        ],
        X,
        Y,
    ),
    "a GroupNormalization of before opset 21": model(
        [
            *(N("Constant", [], [n], value=onnx.numpy_helper.from_array(a)) for n, a in GROUPED.items()),
            N("Reshape", ["x", "shape"], ["b"]),
            N("GroupNormalization", ["b", "scale", "bias"], ["y"], num_groups=1, epsilon=0.1),
        ],
        X,
        Y,
    ),
    "a GroupNormalization of groups of unknown size": model(
        [
            *(N("Constant", [], [n], value=onnx.numpy_helper.from_array(a)) for n, a in GROUPED.items()),
            N("GroupNormalization", ["x", "scale", "bias"], ["y"], num_groups=1, epsilon=0.1),
        ],
        helper.make_tensor_value_info("x", F, ["N", "C"]),
        Y,
    ),
    "a ThresholdedRelu of before opset 10": model([N("ThresholdedRelu", ["x"], ["y"], alpha=0.6)], X, Y, opset=8),
}


@pytest.mark.parametrize("case", CASES)
def test_as_onnxruntime(case: str) -> None:
    feeds: dict[str, Any] = {"x": np.array([[-1.0, 0.5, 2.0], [3.0, -4.0, 0.0]], np.float32)}
    want = ort.InferenceSession(CASES[case].SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    before = CASES[case].SerializeToString()
    got = qglow.InferenceSession(qglow.pipeline.float_graph(CASES[case])).run(None, feeds)
    assert CASES[case].SerializeToString() == before, "the caller's model was changed"
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype and np.allclose(a, b, 1e-6)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([N("Neg", ["b"], ["a"]), N("Neg", ["a"], ["b"]), N("Add", ["x", "a"], ["y"])], "topological"),
        ([N("Neg", ["nothing"], ["y"])], "nothing"),
        ([N("Neg", ["x"], ["y"]), N("Abs", ["x"], ["y"])], "y"),
    ],
    ids=["a circle", "a value that nothing makes", "a value that two make"],
)
def test_what_no_order_mends_is_refused(nodes: list[onnx.NodeProto], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        qglow.pipeline.float_graph(model(nodes, X, Y))


def test_an_input_without_a_type_is_refused() -> None:
    with pytest.raises(ModelError, match="type"):
        qglow.pipeline.float_graph(model([N("Relu", ["x"], ["y"])], typeless("x"), Y))
