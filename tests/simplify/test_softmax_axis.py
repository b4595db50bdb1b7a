"""Softmax along any axis is one along the last, on kernels, and in int8."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.pipeline import float_graph
from qglow.runtime.step_profile import host_steps


def model(axis: int, symbolic: bool) -> onnx.ModelProto:
    """A convolution, Softmax along an axis, and a convolution."""
    rng = np.random.default_rng(0)
    shape = ["n", 3, "h", "w"] if symbolic else [2, 3, 5, 6]
    constants = {"w": rng.normal(0, 1, (8, 3, 1, 1)), "v": rng.normal(0, 1, (4, 8, 1, 1))}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["a"]),
            helper.make_node("Softmax", ["a"], ["s"], axis=axis),
            helper.make_node("Conv", ["s", "v"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
def test_any_axis(axis: int, symbolic: bool) -> None:
    proto, rng = model(axis, symbolic), np.random.default_rng(1)
    data = [{"x": rng.normal(0, 1, (2, 3, 5, 6)).astype(np.float32)} for _ in range(4)]
    [true] = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, data[0])
    session = qglow.InferenceSession(float_graph(proto), 1)
    np.testing.assert_allclose(session.run(None, data[0])[0], true, rtol=1e-5, atol=1e-5)
    assert not host_steps(session, data[0])
    bundle = qglow.quantize(proto, qglow.profile(proto, data))
    assert "QSoftmax" in [n.op for n in bundle.graph.nodes]
    [got] = qglow.InferenceSession(bundle, 1).run(None, data[0])
    assert 10 * np.log10((true**2).sum() / ((got - true) ** 2).sum()) > 25
