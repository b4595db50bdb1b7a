"""The places of the largest and the least: onnxruntime's, in every layout, and where some elements are no numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.pipeline import float_graph
from qglow.runtime.step_profile import host_steps

N = helper.make_node


def answers(nodes: list[Any], x: np.ndarray, **constants: np.ndarray) -> list[np.ndarray]:
    """onnxruntime's y and qglow's, which no host step computes."""
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT64, None)],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = qglow.InferenceSession(float_graph(model), threads=2)
    assert not host_steps(session, {"x": x})
    peer = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [peer.run(None, {"x": x})[0], session.run(None, {"x": x})[0]]


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_places(op: str, last: int) -> None:
    rng = np.random.default_rng(last)
    w = rng.normal(size=(6, 3, 1, 1)).astype(np.float32)
    for shape, axis, missing in (((2, 3, 5, 4), 1, 0.0), ((3, 40), 1, 0.2), ((40, 3), 0, 0.2), ((7,), -1, 0.5)):
        x = np.round(rng.normal(size=shape) * 2).astype(np.float32)
        x[rng.random(shape) < missing] = np.nan
        for kept in (0, 1):
            fields = {"axis": axis, "keepdims": kept, "select_last_index": last}
            want, got = answers([N(op, ["x"], ["y"], **fields)], x)
            assert np.array_equal(want, got) and want.shape == got.shape, (shape, kept)
    x = rng.normal(size=(2, 3, 5, 4)).astype(np.float32)
    nodes = [N("Conv", ["x", "w"], ["c"]), N(op, ["c"], ["y"], axis=1, select_last_index=last)]
    want, got = answers(nodes, x, w=w)
    assert np.array_equal(want, got)
