"""Recurrent layers that do not say how large their state is: the weights do."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.errors import ModelError
from qglow.onnx_import import load
from qglow.pipeline import float_graph

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
HIDDEN, WIDTH = 5, 3


def model(op: str, direction: str, constant: bool, **attributes: int) -> tuple[object, dict[str, np.ndarray]]:
    """Steps have no size; the weights are constants or inputs of known shapes."""
    rng, sides, rows = np.random.default_rng(1), 1 + (direction == "bidirectional"), GATES[op] * HIDDEN
    arrays = {
        "w": rng.normal(0, 1, (sides, rows, WIDTH)).astype(np.float32),
        "r": rng.normal(0, 1, (sides, rows, HIDDEN)).astype(np.float32),
    }
    node = helper.make_node(op, ["x", "w", "r"], ["y", "h"], direction=direction, **attributes)
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["steps", 2, WIDTH])]
    infos += (
        [] if constant else [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in arrays.items()]
    )
    outs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [f"{n}{k}" for k in range(rank)])
        for n, rank in (("y", 4), ("h", 3))
    ]
    graph = helper.make_graph(
        [node], "g", infos, outs, [numpy_helper.from_array(a, n) for n, a in arrays.items()] if constant else []
    )
    feeds = {"x": rng.normal(0, 1, (4, 2, WIDTH)).astype(np.float32)} | ({} if constant else arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), feeds


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", GATES)
def test_the_state_is_as_large_as_the_weights_say(op: str, direction: str, constant: bool) -> None:
    bare, feeds = model(op, direction, constant)
    told, _ = model(op, direction, constant, hidden_size=HIDDEN)
    assert [n.attr("hidden_size") for n in load(bare).nodes if n.op == op] == [HIDDEN]
    for a, b in zip(
        *(qglow.InferenceSession(float_graph(m), threads=1).run(None, feeds) for m in (bare, told)), strict=True
    ):
        assert np.array_equal(a, b) and a.shape[-1] == HIDDEN


def test_a_size_that_nothing_says() -> None:
    proto, _ = model("GRU", "forward", False)
    del proto.graph.input[2].type.tensor_type.shape.dim[2]  # type: ignore[attr-defined]
    proto.graph.input[2].type.tensor_type.shape.dim.add().dim_param = "any"  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="neither hidden_size nor weights of a known shape"):
        load(proto)
