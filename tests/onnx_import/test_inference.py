"""What ONNX's inference is kept from, it still says the dtype of; where it says none, no Cast is taken for one that
changes nothing."""

from __future__ import annotations

import importlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.onnx_import.inference import infer_shapes
from qglow.pipeline import float_graph


def ranged(dtype: int) -> onnx.ModelProto:
    """Range over the size of x, cast to float, times x."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Cast", ["n"], ["limit"], to=dtype),
        helper.make_node("Range", ["start", "limit", "delta"], ["r"]),
        helper.make_node("Cast", ["r"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "f"], ["y"]),
    ]
    numpy_type = helper.tensor_dtype_to_np_dtype(dtype)
    constants = {"zero": np.array(0), "start": np.array(0, numpy_type), "delta": np.array(1, numpy_type)}
    graph = helper.make_graph(
        nodes, "ranged", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
        [onnx.numpy_helper.from_array(a, n) for n, a in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize("dtype", [TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT, TensorProto.DOUBLE])
def test_the_dtype_of_a_range(dtype: int) -> None:
    model = ranged(dtype)
    types = {v.name: v.type.tensor_type for v in infer_shapes(model).graph.value_info}
    assert types["r"].elem_type == dtype and len(types["r"].shape.dim) == 1
    for count in (3, 7):
        x = np.linspace(1, 2, count, dtype=np.float32)
        (y,) = qglow.InferenceSession(float_graph(model), 1).run(None, {"x": x})
        assert np.array_equal(y, x * np.arange(count, dtype=np.float32))


def test_a_cast_of_a_value_whose_type_is_not_known_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any inference, and with one that finds shapes alone."""
    load = importlib.import_module("qglow.onnx_import.load")

    def blind(proto: onnx.ModelProto) -> onnx.ModelProto:
        return proto

    def half_blind(proto: onnx.ModelProto) -> onnx.ModelProto:
        found = infer_shapes(proto)
        for v in found.graph.value_info:
            v.type.tensor_type.elem_type = TensorProto.UNDEFINED
        return found

    x = np.linspace(1, 2, 5, dtype=np.float32)
    for inference in (blind, half_blind):
        monkeypatch.setattr(load, "infer_shapes", inference)
        (y,) = qglow.InferenceSession(float_graph(ranged(TensorProto.INT64)), 1).run(None, {"x": x})
        assert np.array_equal(y, x * np.arange(5, dtype=np.float32))


def test_outputs_without_a_shape_and_old_models_with_free_constants_are_inferred() -> None:
    constant = numpy_helper.from_array(np.zeros((3, 5), np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=3)
    (output,) = infer_shapes(model).graph.output
    assert [d.dim_param or d.dim_value for d in output.type.tensor_type.shape.dim] == ["n", 5]
    assert not model.graph.output[0].type.tensor_type.HasField("shape")
