"""How float and int8 are compared: the float side comes from another engine, the int8 side from sessions."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.errors import AccuracyError
from qglow.oracle import float_oracle
from qglow.oracle.oracle import ReferenceOracle
from qglow.pipeline import float_graph
from qglow.profiling import open_dataset
from qglow.report.agreement import measure
from qglow.report.html import page


def test_outputs_are_compared_with_another_engine(digits: Path) -> None:
    model = digits / "model.onnx"
    graph, bundle = float_graph(model), qglow.quantize(model, qglow.profile(model, digits, samples=8))
    data = open_dataset(digits, graph).spread(6)
    theirs = measure(float_oracle(model, graph), bundle.graph, data)
    ours = measure(ReferenceOracle(graph), bundle.graph, data)
    assert theirs.oracle.startswith("onnxruntime ") and ours.oracle == "numpy reference"
    assert theirs.samples == ours.samples == 6 and theirs.outputs.keys() == ours.outputs.keys() == set(graph.outputs)
    for name, error in ours.outputs.items():
        assert theirs.outputs[name].sqnr_db == pytest.approx(error.sqnr_db, abs=1e-2)


def net(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], x: list[int], y: list[int], kind: int
) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(n, k, s) for n, k, s in (("x", TensorProto.FLOAT, x), ("y", kind, y))]
    stored = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def quiet_rows() -> tuple[onnx.ModelProto, list[dict[str, np.ndarray]]]:
    """Rows over their own length; a row that int8 rounds to zeros gives 0 / 0."""
    rng = np.random.default_rng(2)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("ReduceL2", ["h", "axis"], ["n"],
        keepdims=1),
             helper.make_node("Div", ["h", "n"], ["y"])]  # fmt: skip
    constants = {"w": rng.normal(0, 0.3, (16, 8)).astype(np.float32), "axis": np.array([1])}
    samples = [{"x": rng.normal(0, 1, (4, 16)).astype(np.float32)} for _ in range(8)]
    for s in samples:
        s["x"][3] *= np.float32(1e-3)
    return net(nodes, constants, [4, 16], [4, 8], TensorProto.FLOAT), samples


def outliers_before_argmax() -> tuple[onnx.ModelProto, list[dict[str, np.ndarray]]]:
    """One strong channel, as in language models, leaves int8 nothing for the others, and the classes are chosen by
    these."""
    rng = np.random.default_rng(3)
    first, second = rng.normal(0, 0.2, (20, 8)).astype(np.float32), rng.normal(0, 0.2, (8, 10)).astype(np.float32)
    first[:, 0] *= 3000
    second[0] *= np.float32(1e-4)
    rows = [
        ("MatMul", "x a", "h"),
        ("Sigmoid", "h", "g"),
        ("Mul", "h g", "hh"),
        ("MatMul", "hh b", "s"),
        ("ArgMax", "s", "y"),
    ]
    nodes = [
        helper.make_node(op, ins.split(), [out], **({"axis": 1} if op == "ArgMax" else {})) for op, ins, out in rows
    ]
    samples = [{"x": rng.normal(0, 1, (50, 20)).astype(np.float32)} for _ in range(4)]
    return net(nodes, {"a": first, "b": second}, [50, 20], [50, 1], TensorProto.INT64), samples


@pytest.mark.parametrize("made", [quiet_rows, outliers_before_argmax])
def test_what_int8_spoils_is_refused_whatever_the_output_is(made: Callable[[], Any]) -> None:
    """By `quantize`, by a target, and in the words of the report, from one verdict."""
    model, samples = made()
    profile = qglow.profile(model, samples)
    with pytest.raises(AccuracyError, match="output 'y' has"):
        qglow.quantize(model, profile, {"widen_percent": 0.0})
    floor = -200.0 if made is quiet_rows else 0.5
    with pytest.raises(AccuracyError, match="output 'y' has"):
        qglow.quantize(model, profile, {"widen_percent": 0.0, "min_agreement_sqnr_db": floor})
    rescued = qglow.quantize(model, profile).manifest  # by wider formats
    assert rescued["wider"]["reached_db"] >= 3.0 and "not_finite" not in rescued["agreement"]["outputs"]["y"]
    bundle = qglow.quantize(model, profile, check=False)
    report = qglow.compare(model, bundle, samples)
    assert "y" in report.to_dict()["complaints"] and "Do not use this bundle" in report.summary()
    assert page(report.figures()).count("Do not use this bundle") == 1
    try:
        reached = qglow.quantize(model, profile, qglow.QuantConfig(min_sqnr_db=30.0))
    except AccuracyError as error:
        assert "accuracy target missed" in str(error)
    else:  # the nodes that spoil it are float now
        assert not qglow.compare(model, reached, samples).to_dict()["complaints"]


def test_an_integer_output_may_be_the_class(tmp_path: Path) -> None:
    """Top-1 accuracy of a model that ends in ArgMax."""
    rng = np.random.default_rng(4)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["s"]), helper.make_node("ArgMax", ["s"], ["y"], axis=1)]
    model = net(nodes, {"w": rng.normal(0, 1, (6, 5)).astype(np.float32)}, [1, 6], [1, 1], TensorProto.INT64)
    samples = [{"x": rng.normal(0, 1, (1, 6)).astype(np.float32)} for _ in range(12)]
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    labels = [int(session.run(None, s)[0].item()) for s in samples]
    bundle = qglow.quantize(model, qglow.profile(model, samples))
    found = qglow.compare(model, bundle, samples, labels=labels).to_dict()["outputs"]["y"]
    assert found["top1_fp32"] == 1.0 and found["top1_int8"] == found["top1_agreement"] == found["equal"] >= 0.75


@pytest.mark.parametrize("config", [{}, {"min_sqnr_db": 35.0}])
def test_a_slow_machine_makes_the_same_bundle(
    digits: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, float]
) -> None:
    """Whatever clocks say between two of their readings."""
    recorded = qglow.profile(digits / "model.onnx", digits, samples=8)

    def made() -> dict[str, Any]:
        manifest = qglow.quantize(digits / "model.onnx", recorded, qglow.QuantConfig(**config)).manifest
        for score in ("int8", "reached"):
            manifest.get("target", {score: {"ms": 0.0}})[score].pop("ms")  # what was measured
        manifest.get("target", {}).pop("front", None)  # likewise
        return manifest

    fast = made()
    for clock in ("perf_counter", "monotonic", "process_time", "time"):
        monkeypatch.setattr(time, clock, itertools.count(1e9, 1e3).__next__)
    assert made() == fast and fast["agreement"]["samples"] == 8
