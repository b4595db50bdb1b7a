"""Convolutions of int8 over three dimensions: the reference's bits, beside onnxruntime's floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.graph import DType
from qglow.runtime.step_profile import host_steps

N = helper.make_node
SAME: dict[str, Any] = {"pads": [1] * 6}
WINDOWS: dict[str, dict[str, Any]] = {
    "same": SAME,
    "strides": {**SAME, "strides": [2, 1, 2]},
    "dilations": {"dilations": [2, 1, 2], "pads": [3, 0, 1, 2, 1, 0]},
    "along": {"kernel_shape": [3, 1, 1], "pads": [2, 0, 0, 0, 0, 0]},
    "across": {"kernel_shape": [1, 3, 3], "strides": [2, 1, 1]},
    "points": {"kernel_shape": [1, 1, 1], "strides": [1, 2, 2]},
}
AFTER = {
    "sum": [N("Conv", ["a", "v"], ["c"], **SAME), N("Add", ["c", "a"], ["s"]), N("Relu", ["s"], ["d"])],
    "table": [N("Conv", ["a", "v"], ["c"], **SAME), N("Sigmoid", ["c"], ["d"])],
    "beside": [N("Conv", ["a", "v"], ["c"], **SAME), N("Concat", ["c", "a"], ["e"], axis=1), N("Relu", ["e"], ["d"])],
}


def model_of(window: str, after: str, groups: int = 1) -> tuple[Any, list[dict[str, np.ndarray]]]:
    rng, kernel = np.random.default_rng(0), WINDOWS[window].get("kernel_shape", [3, 3, 3])
    shapes = {"w": (6, 4 // groups, *kernel), "v": (6, 6, 3, 3, 3), "b": (6,)}
    nodes = [N("Conv", ["x", "w", "b"], ["a"], name="first", group=groups, **WINDOWS[window]), *AFTER[after]]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 6, 5, 7])],
        [helper.make_tensor_value_info("d", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(rng.normal(0, 0.3, s).astype(np.float32), n) for n, s in shapes.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model, [{"x": rng.normal(size=(2, 4, 6, 5, 7)).astype(np.float32)} for _ in range(4)]


@pytest.mark.parametrize(
    ("window", "after"), [*((w, "table") for w in WINDOWS), ("same", "sum"), ("strides", "sum"), ("across", "beside")]
)
def test_the_bits_of_the_reference(window: str, after: str) -> None:
    model, samples = model_of(window, after)
    bundle = qglow.quantize(model, qglow.profile(model, samples), qglow.QuantConfig(widen_percent=0.0))
    reads = [bundle.graph.types[n.inputs[0]].dtype for n in bundle.graph.nodes if n.op == "Conv"]
    assert reads == [DType.U8, DType.U8]
    for threads in (1, 2):
        session = qglow.InferenceSession(bundle, threads=threads)
        (got,) = session.run(None, samples[0])
        assert np.array_equal(got, session.run_all(samples[0])["d"]) and not host_steps(session, samples[0])
    (want,) = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, samples[0])
    assert np.linalg.norm(got - want) < 0.05 * np.linalg.norm(want)


def test_what_has_no_form_stays_float() -> None:
    for groups, activations in ((2, "uint8"), (1, "int16")):
        model, samples = model_of("same", "table", groups)
        config = qglow.QuantConfig(activations=activations)
        bundle = qglow.quantize(model, qglow.profile(model, samples), config)
        [why] = [d["reason"] for d in bundle.manifest["decisions"] if d["node"] == "first"]
        assert why.startswith("a 3-D convolution has no int")
        assert not host_steps(qglow.InferenceSession(bundle), samples[0])
