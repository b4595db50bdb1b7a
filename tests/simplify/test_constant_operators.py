"""Weights that an operator of ONNX's own makes of constants are constants, and those of random numbers are not."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.pipeline import float_graph


def model(nodes: list, constants: dict, opset: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def test_standardized_weights() -> None:
    """As torch writes scaled weight standardization: a BatchNormalization in training mode over the weights."""
    rng = np.random.default_rng(0)
    f = np.float32
    nodes = [
        helper.make_node("BatchNormalization", ["w", "gain", "zero", "mean", "one"], ["b", "m", "s"], training_mode=1),
        helper.make_node("Reshape", ["b", "shape"], ["v"]),
        helper.make_node("Conv", ["x", "v"], ["y"]),
    ]
    constants = {
        "w": rng.normal(1, 2, (1, 6, 36)).astype(f),
        "gain": rng.uniform(0.1, 0.3, 6).astype(f),
        "zero": np.zeros(6, f),
        "mean": np.zeros(6, f),
        "one": np.ones(6, f),
        "shape": np.int64([6, 4, 3, 3]),
    }
    proto = model(nodes, constants, 15)
    assert [n.op for n in float_graph(proto).nodes] == ["Conv"]
    data = [{"x": rng.normal(0, 1, (1, 4, 5, 5)).astype(f)} for _ in range(4)]
    [true] = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, data[0])
    bundle = qglow.quantize(proto, qglow.profile(proto, data))
    assert bundle.manifest["decisions"][0]["precision"] == "int8"
    [got] = qglow.InferenceSession(bundle, 1).run(None, data[0])
    assert 10 * np.log10((true**2).sum() / ((got - true) ** 2).sum()) > 30


def test_random_numbers_are_drawn_each_time() -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["c"], ["r"]),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    proto = model(nodes, {"c": np.ones((1, 4, 5, 5), np.float32)}, 15)
    session = qglow.InferenceSession(float_graph(proto), 1)
    x = {"x": np.zeros((1, 4, 5, 5), np.float32)}
    assert not np.array_equal(session.run(None, x)[0], session.run(None, x)[0])
