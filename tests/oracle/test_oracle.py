"""The float side of every comparison: onnxruntime on the model as it is written, or the numpy reference, never the
kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.kernels import library
from qglow.onnx_import.observed import has_denormals, without_denormals
from qglow.oracle import float_oracle
from qglow.oracle.oracle import ReferenceOracle
from qglow.pipeline import float_graph
from qglow.report.float_values import float_values

RNG = np.random.default_rng(3)
X = RNG.normal(0, 1, (1, 3, 6, 6)).astype(np.float32)


def convolution(op: str = "Relu", domain: str = "") -> onnx.ModelProto:
    """Conv, BatchNormalization and an op behind them: the simplified graph has one convolution of them."""
    constants = {"w": RNG.normal(0, 1, (4, 3, 3, 3))} | {n: RNG.uniform(0.5, 2, 4) for n in ("g", "b", "m", "v")}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"], name="norm"),
        helper.make_node(op, ["n"], ["y"], name="last", domain=domain),
    ]
    stored = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items()]
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 3, 6, 6]), ("y", [1, 4, 4, 4]))
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], stored)
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def test_it_is_onnxruntime_on_the_model_itself(tmp_path: Path) -> None:
    model = convolution()
    onnx.save(model, tmp_path / "m.onnx")
    want = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": X})[0]
    for given in (model, tmp_path / "m.onnx", str(tmp_path / "m.onnx"), float_graph(model)):
        oracle = float_oracle(given, float_graph(given))
        assert oracle.name == f"onnxruntime {ort.__version__}"
        np.testing.assert_allclose(oracle.outputs({"x": X})["y"], want, rtol=1e-5, atol=1e-5)


def test_inner_values_are_those_of_the_model() -> None:
    model = convolution()
    graph, oracle = float_graph(model), float_oracle(model, float_graph(model))
    found = oracle.values({"x": X}, ["x", "n", "y", "made anew"])
    assert set(found) == {"x", "n", "y"} and np.array_equal(found["x"], X)
    np.testing.assert_array_equal(found["y"], np.maximum(found["n"], 0))
    assert "n" in {o for node in graph.nodes for o in node.outputs}, (
        "the value of the fused convolution has the name of its last node"
    )


def test_what_simplifying_made_anew_is_computed_from_the_oracles_values() -> None:
    model = convolution()
    graph = float_graph(model)
    renamed = graph.with_(
        nodes=tuple(n.with_(inputs=tuple({"n": "n2"}.get(i, i) for i in n.inputs),
        outputs=tuple({"n": "n2"}.get(o, o) for o in n.outputs))
                    for n in graph.nodes),
        types={**graph.types, "n2": graph.types["n"]},
    )  # fmt: skip
    oracle = float_oracle(model, renamed)
    found = float_values(oracle, renamed, {"x": X}, {"x", "n2", "y"})
    np.testing.assert_allclose(found["n2"], oracle.values({"x": X}, ["n"])["n"], rtol=1e-4, atol=1e-5)
    assert set(found) == {"x", "n2", "y"}


def test_a_model_that_onnxruntime_refuses_is_answered_by_the_reference() -> None:
    """A kernel of 2 pixels in a border of 2: qglow's reference may know what it is, onnxruntime does not."""
    graph = float_graph(convolution())
    broken = convolution()
    broken.graph.node[0].op_type = "NoSuchOp"
    oracle = float_oracle(broken, graph)
    assert oracle.name.startswith("numpy reference (onnxruntime does not take this model")
    np.testing.assert_array_equal(oracle.outputs({"x": X})["y"], ReferenceOracle(graph).outputs({"x": X})["y"])


def test_no_kernel_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracles answer where no kernel can be loaded."""

    def refused(name: str | None = None) -> None:
        raise AssertionError("a kernel was asked for")

    model = convolution()
    graph = float_graph(model)
    monkeypatch.setattr(library, "load", refused)
    monkeypatch.setattr(library, "ensure", refused)
    for oracle in (float_oracle(model, graph), ReferenceOracle(graph)):
        assert set(oracle.outputs({"x": X})) == {"y"} and set(oracle.values({"x": X}, ["n"])) == {"n"}
    with pytest.raises(qglow.QGlowError, match="a kernel was asked for"):
        qglow.InferenceSession(graph).run(None, {"x": X})


def test_weights_below_the_normal_range_are_taken_as_zero() -> None:
    model = convolution()
    w = numpy_helper.to_array(model.graph.initializer[0]).copy()
    w[:, 1] = 1e-40
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(w, "w"))
    want = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": X})[0]
    assert has_denormals(w) and not has_denormals(numpy_helper.to_array(without_denormals(model).graph.initializer[0]))
    np.testing.assert_allclose(
        float_oracle(model, float_graph(model)).outputs({"x": X})["y"], want, rtol=1e-5, atol=1e-6
    )
