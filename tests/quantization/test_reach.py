"""Sums that could leave int32: known from types where shapes are static, met at lowering where they are not; right in
both, and said."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.instructions.lower import lower
from qglow.instructions.program import HostCall
from qglow.reference import evaluate, retype

Array = np.ndarray
Dims = list[int | str]
ONE = np.ones((1, 1, 1, 1), np.float32)


def model(
    nodes: list[onnx.NodeProto], constants: dict[str, Any], inputs: dict[str, Dims], output: Dims
) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, output)
    stored = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "g", values, [result], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def oracle(proto: onnx.ModelProto, feeds: dict[str, Array]) -> Array:
    options = ort.SessionOptions()
    options.log_severity_level, options.graph_optimization_level = 4, ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(
        None, feeds
    )[0]


def rounded(name: str, scale: float, zero: int, constants: dict[str, Any]) -> list[onnx.NodeProto]:
    constants |= {f"{name}_s": np.float32(scale), f"{name}_z": np.uint8(zero)}
    pair = [f"{name}_s", f"{name}_z"]
    return [
        helper.make_node("QuantizeLinear", [name, *pair], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", *pair], [f"{name}_d"]),
    ]


def weights(name: str, q: Array, constants: dict[str, Any]) -> onnx.NodeProto:
    """`name` for the reals of int8 weights that the model stores."""
    constants |= {f"{name}_q": q, f"{name}_s": np.float32(2.0**-5)}
    return helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_s"], [name])


FAR: dict[str, tuple[list[str], dict[str, Any], dict[str, Any]]] = {
    "Add": (["a_d", "b_d"], {}, {}),
    "Sub": (["a_d", "b_d"], {}, {}),
    "Mul": (["a_d", "b_d"], {}, {}),
    "AveragePool": (["a_d"], {"kernel_shape": [2, 2]}, {}),
    "GlobalAveragePool": (["a_d"], {}, {}),
    "ReduceMean": (["a_d", "axes"], {}, {"axes": np.array([1])}),
    "Resize": (["a_d", "", "scales"], {"mode": "linear"}, {"scales": np.array([1, 1, 2, 2], np.float32)}),
    "Conv": (["a_d", "w"], {}, {"w": np.random.default_rng(0).normal(0, 32, (3, 16, 1, 1)).astype(np.int8)}),
    "MatMul": (["a_d", "t"], {}, {"t": np.random.default_rng(0).normal(0, 32, (7, 4)).astype(np.int8)}),
}


@pytest.mark.parametrize("op", FAR)
def test_scales_that_lie_far_apart(op: str) -> None:
    """Inputs of a scale of 1e4 to an output of 1e-4: what is not 0 is at an end of the range, and the node says why it
    is float."""
    names, attributes, more = FAR[op]
    constants: dict[str, Any] = {n: a for n, a in more.items() if a.dtype != np.int8}
    nodes = [
        weights("one", 32 * np.eye(16, dtype=np.int8).reshape(16, 16, 1, 1), constants),
        *(weights(n, a, constants) for n, a in more.items() if a.dtype == np.int8),
        *rounded("x", 1e4, 128, constants),
        helper.make_node("Conv", ["x_d", "one"], ["a"]),
        *rounded("a", 1e4, 128, constants),
    ]
    nodes += [
        *rounded("b", 0.7e4, 3, constants),
        helper.make_node(op, names, ["c"], **attributes),
        *rounded("c", 1e-4, 128, constants),
    ]
    inputs: dict[str, Dims] = {n: [1, 16, 5, 7] for n in "xb"}
    proto = model([*nodes, helper.make_node("Identity", ["c_d"], ["y"])], constants, inputs, ["n", "c", "h", "w"])
    rng = np.random.default_rng(1)
    feeds = {n: rng.normal(0, 5e5, (1, 16, 5, 7)).astype(np.float32) for n in "xb"}
    bundle = qglow.quantize(proto, check=False)
    reasons = {d["op"]: d["reason"] for d in bundle.manifest["decisions"] if d["precision"] == "float"}
    assert "int32 does not hold" in reasons.get(op, ""), bundle.manifest["decisions"]
    got, want = qglow.InferenceSession(bundle, 1).run(None, feeds)[0], oracle(proto, feeds)
    assert (np.abs(got - want) > 1e-4).mean() < 0.02, (
        "float sums in another order may be rounded to the other side of 0"
    )


def host_steps(bundle: qglow.Bundle, feeds: dict[str, Array]) -> dict[str, str]:
    program = lower(retype(bundle.graph, {k: v.shape for k, v in feeds.items()}), "avx512_vnni")
    return {s.node.op: s.reason for s in program.steps if isinstance(s, HostCall)}


@pytest.mark.parametrize("op", ["GlobalAveragePool", "ReduceMean"])
def test_means_of_more_than_int32_holds(op: str) -> None:
    """Calibrated on small images, asked for one of 9 million pixels: exact, on the host, with the reason in the
    program."""
    constants: dict[str, Any] = {"w": ONE * 1.1, "v": ONE} | ({"axes": np.array([2, 3])} if op == "ReduceMean" else {})
    mean = helper.make_node(op, ["h", "axes"] if op == "ReduceMean" else ["h"], ["p"])
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"]), mean, helper.make_node("Conv", ["p", "v"], ["y"])]
    proto = model(nodes, constants, {"x": [1, 1, "h", "w"]}, [1, 1, 1, 1])
    rng = np.random.default_rng(0)
    small, large = ({"x": (0.9 + 0.1 * rng.random((1, 1, n, n), np.float32))} for n in (64, 2950))
    bundle = qglow.quantize(proto, qglow.profile(proto, [small]))
    got, want = qglow.InferenceSession(bundle, 1).run(None, large)[0], oracle(proto, large)
    assert abs(float(got.ravel()[0]) - float(want.ravel()[0])) < 0.01
    assert op not in host_steps(bundle, small)
    assert host_steps(bundle, large)[op] == f"int32 does not hold a sum of {2950**2} elements"


@pytest.mark.parametrize("known", [True, False])
def test_products_of_two_tensors_with_too_many_terms(known: bool) -> None:
    """A Gram matrix: of 90000 terms, known when it is quantized or not."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node("Reshape", ["h", "s"], ["f"]),
        helper.make_node("Transpose", ["f"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["f", "t"], ["y"]),
    ]
    rng = np.random.default_rng(0)
    constants = {"w": (1 + rng.random((4, 3, 1, 1))).astype(np.float32), "s": np.array([1, 4, -1])}
    proto = model(nodes, constants, {"x": [1, 3, 300, 300] if known else [1, 3, "h", "w"]}, [1, 4, 4])
    feeds = {"x": (0.9 + 0.1 * rng.random((1, 3, 300, 300), np.float32))}
    bundle = qglow.quantize(proto, qglow.profile(proto, [feeds]), qglow.QuantConfig(min_agreement_sqnr_db=-200.0))
    if known:
        assert "a sum of its products could overflow int32" in {d["reason"] for d in bundle.manifest["decisions"]}
    else:
        assert host_steps(bundle, feeds) == {"MatMul": "a sum of its products could leave int32"}
    got, want = qglow.InferenceSession(bundle, 1).run(None, feeds)[0], oracle(proto, feeds)
    assert np.abs(got - want).max() < 0.01 * np.abs(want).max()
    assert np.array_equal(got, evaluate(bundle.graph, feeds)["y"])
