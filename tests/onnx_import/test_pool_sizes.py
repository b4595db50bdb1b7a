"""Sizes behind pools with ceil_mode, where ONNX's own inference counts a window that begins in the padding."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from qglow.checking import check_types
from qglow.onnx_import import load
from qglow.reference import evaluate


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_windows_that_begin_in_the_end_padding(op: str) -> None:
    pool = helper.make_node(op, ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 1, 1, 1], ceil_mode=1)
    nodes = [pool, helper.make_node("Relu", ["p"], ["r"]), helper.make_node("Flatten", ["r"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])
    proto = helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 18)])
    graph = load(proto)
    check_types(graph, "import")
    assert graph.types["p"].shape == graph.types["r"].shape == (1, 2, 4, 5)
    assert evaluate(graph, {"x": np.ones((1, 2, 8, 8), np.float32)})["y"].shape == (1, 40)
