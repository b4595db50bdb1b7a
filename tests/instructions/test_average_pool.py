"""int8 averages of windows that padding or rounding up reaches beyond the image: on kernels, with the reference's
bits."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.reference import evaluate
from qglow.runtime.step_profile import host_steps


def model(**settings: object) -> onnx.ModelProto:
    w = np.random.default_rng(0).normal(0, 1, (20, 3, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["a"]),
            helper.make_node("AveragePool", ["a"], ["p"], **settings),
            helper.make_node("Conv", ["p", "v"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(w.reshape(3, 20, 1, 1), "v")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("kernel, stride, pads", [(2, 2, (0, 0, 0, 0)), (3, 2, (1, 1, 1, 1)), (3, 2, (0, 1, 1, 0)),
                                                  (3, 1, (2, 2, 2, 2))])  # fmt: skip
def test_windows_beyond_the_image(kernel: int, stride: int, pads: tuple, ceil: int, include: int) -> None:
    proto = model(kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, ceil_mode=ceil, count_include_pad=include)
    rng = np.random.default_rng(1)
    data = [{"x": rng.normal(0.5, 1, (1, 3, 7, 8)).astype(np.float32)} for _ in range(4)]
    bundle = qglow.quantize(proto, qglow.profile(proto, data))
    session = qglow.InferenceSession(bundle, 1)
    for x in (data[0], {"x": rng.normal(0.5, 1, (2, 3, 6, 5)).astype(np.float32)}):
        np.testing.assert_array_equal(session.run(None, x)[0], evaluate(bundle.graph, x)["y"])
    assert not host_steps(session, data[0]) or (ceil and include)
