"""Clamps that are limits of an int8 output: bounds the wrong way round, no bounds at all, and ranges near the end of
float32."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import qglow


def clamped(low: float | None, high: float | None, scale: float) -> tuple[ModelProto, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    constants = {
        "w": (rng.normal(size=(4, 3, 1, 1))).astype(np.float32),
        "v": rng.normal(size=(4, 4, 1, 1)).astype(np.float32),
    }
    constants |= {n: np.float32(b) for n, b in (("low", low), ("high", high)) if b is not None}
    bounds = ["low" if low is not None else "", "high" if high is not None else ""]
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["r"])]
    nodes += [helper.make_node("Clip", ["r", *bounds], ["c"]), helper.make_node("Conv", ["c", "v"], ["y"])]
    sides = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, 8, 8]) for n, c in (("x", 3), ("y", 4))]
    stored = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "g", sides[:1], sides[1:], stored)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return proto, {"x": (rng.normal(size=(1, 3, 8, 8)) * scale).astype(np.float32)}


BOUNDS = [(1, -1, 1), (None, -1, 1), (2, None, 1), (None, None, 1e34), (None, 1e34, 1e34), (0.5, 3, 1)]


@pytest.mark.parametrize(("low", "high", "scale"), BOUNDS)
def test_limits(low: float | None, high: float | None, scale: float) -> None:
    proto, feeds = clamped(low, high, scale)
    bundle = qglow.quantize(proto, qglow.profile(proto, [feeds]), check=False)
    h = np.einsum(
        "oc,nchw->nohw", numpy_helper.to_array(proto.graph.initializer[0])[:, :, 0, 0], feeds["x"].astype(np.float64)
    )
    c = np.minimum(np.maximum(np.maximum(h, 0), -np.inf if low is None else low), np.inf if high is None else high)
    want = np.einsum("oc,nchw->nohw", numpy_helper.to_array(proto.graph.initializer[1])[:, :, 0, 0], c)
    got = qglow.InferenceSession(bundle, 1).run(None, feeds)[0]
    assert np.sum((got / scale - want / scale) ** 2) < 1e-3 * np.sum((want / scale) ** 2)
