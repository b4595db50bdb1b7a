"""A batch of nothing through ops of each family, beside onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

import qglow
import qglow.pipeline

S = np.ones(4, np.float32)
CASES: dict[str, tuple[dict[str, Any], list[np.ndarray[Any, Any]]]] = {
    "LpPool": ({"kernel_shape": [2, 2], "p": 2}, []),
    "GlobalLpPool": ({"p": 2}, []),
    "AveragePool": ({"kernel_shape": [2, 2]}, []),
    "GlobalAveragePool": ({}, []),
    "GlobalMaxPool": ({}, []),
    "LRN": ({"size": 3}, []),
    "InstanceNormalization": ({}, [S, S]),
    "LayerNormalization": ({"axis": 1}, [np.ones((4, 6, 6), np.float32)]),
    "Softmax": ({"axis": 1}, []),
    "CumSum": ({}, [np.array(1)]),
    "Conv": ({}, [np.ones((3, 4, 2, 2), np.float32)]),
    "ConvTranspose": ({}, [np.ones((4, 3, 2, 2), np.float32)]),
    "MatMul": ({}, [np.ones((6, 5), np.float32)]),
    "ReduceMean": ({}, [np.array([0])]),
    "ReduceSum": ({}, [np.array([0])]),
    "ReduceProd": ({}, [np.array([0])]),
    "ReduceLogSumExp": ({}, [np.array([0])]),
    "Reshape": ({}, [np.array([-1, 36])]),
    "Expand": ({}, [np.array([2, 1, 1, 1, 1])]),
}


@pytest.mark.parametrize("op", CASES)
@pytest.mark.filterwarnings("error")
def test_as_onnxruntime(op: str) -> None:
    attributes, arrays = CASES[op]
    constants = [numpy_helper.from_array(a, f"c{k}") for k, a in enumerate(arrays)]
    node = helper.make_node(op, ["x", *(c.name for c in constants)], ["y"], **attributes)
    x = helper.make_tensor_value_info("x", 1, ["N", 4, 6, 6])
    made = helper.make_graph([node], "g", [x], [helper.make_tensor_value_info("y", 1, None)], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    feeds = {"x": np.zeros((0, 4, 6, 6), np.float32)}
    want = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    got = qglow.InferenceSession(qglow.pipeline.float_graph(model)).run(None, feeds)[0]
    assert got.shape == want.shape and got.dtype == want.dtype and np.array_equal(got, want)
