"""Exported models have the bundle's bits in onnxruntime at every level of its optimizer, and an opset that is no newer
than they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.onnx_import.export_qdq import export_qdq
from qglow.onnx_import.export_qoperator import export_qoperator

LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")
RNG = np.random.default_rng(5)


def model_of(nodes: list[tuple[str, list[str], str, dict[str, Any]]], shape: list[Any]) -> onnx.ModelProto:
    """nodes: op, inputs, output, attributes; wNxM.. is a constant of this shape. The last output is the graph's."""
    made = [helper.make_node(op, i, [o], name=f"n_{o}", **a) for op, i, o, a in nodes]
    names = {i for n in made for i in n.input if i[0] == "w"}
    constants = [
        numpy_helper.from_array(
            RNG.normal(0, 0.3, tuple(map(int, n[1:].split("_")[0].split("x")))).astype(np.float32), n
        )
        for n in sorted(names)
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info(made[-1].output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph(made, "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


ATTENTION = model_of([
    ("MatMul", ["x", "w16x16_q"], "q", {}), ("MatMul", ["x", "w16x16_k"], "k", {}),
    ("MatMul", ["x", "w16x16_v"], "v", {}), ("Transpose", ["k"], "t", {"perm": [0, 2, 1]}),
    ("MatMul", ["q", "t"], "s", {}), ("Softmax", ["s"], "p", {"axis": -1}),
    ("MatMul", ["p", "v"], "a", {}), ("MatMul", ["a", "w16x16_o"], "o", {}),
    ("LayerNormalization", ["o", "w16", "w16_b"], "y", {"axis": -1}),
], ["n", 6, 16])  # fmt: skip
IMAGES = model_of([
    ("Conv", ["x", "w8x3x3x3", "w8"], "a", {"pads": [1] * 4}), ("Relu", ["a"], "b", {}),
    ("Conv", ["b", "w8x1x3x3", "w8_d"], "c", {"pads": [1] * 4, "group": 8}), ("Relu", ["c"], "d", {}),
    ("Conv", ["d", "w8x8x1x1"], "e", {}), ("Add", ["e", "b"], "f", {}), ("Sigmoid", ["f"], "g", {}),
    ("MaxPool", ["g"], "h", {"kernel_shape": [2, 2], "strides": [2, 2]}), ("GlobalAveragePool", ["h"], "i", {}),
    ("Conv", ["i", "w4x8x1x1"], "y", {}),
], ["n", 3, 8, 8])  # fmt: skip
# Layers of the names n_float... stay float between layers of int8
CONVOLUTIONS = model_of([
    ("Conv", ["x", "w8x3x3x3", "w8"], "a", {"pads": [1] * 4}), ("Relu", ["a"], "b", {}),
    ("MaxPool", ["b"], "p", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("Conv", ["p", "w8x8x3x3", "w8_f"], "float", {"pads": [1] * 4}), ("Relu", ["float"], "c", {}),
    ("Conv", ["c", "w8x1x3x3", "w8_g"], "float2", {"pads": [1] * 4, "group": 8}),
    ("Conv", ["float2", "w4x8x1x1"], "y", {}),
], ["n", 3, "h", "w"])  # fmt: skip
ONE_CHANNEL = model_of([
    ("Conv", ["x", "w1x3x3x3", "w1"], "a", {"pads": [1] * 4}), ("Relu", ["a"], "b", {}),
    ("ConvTranspose", ["b", "w1x4x2x2", "w4"], "float", {"strides": [2, 2]}),
    ("Conv", ["float", "w4x4x3x3"], "y", {}),
], ["n", 3, "h", "w"])  # fmt: skip
PRODUCTS = model_of([
    ("MatMul", ["x", "w16x16_q"], "a", {}), ("Relu", ["a"], "b", {}),
    ("MatMul", ["b", "w16x16_f"], "float", {}), ("Add", ["float", "w16_f"], "float2", {}),
    ("Relu", ["float2"], "c", {}),
    ("MatMul", ["c", "w16x16_h"], "y", {}),
], ["n", 6, 16])  # fmt: skip
ROWS = model_of([
    ("Gemm", ["x", "w16x16_q", "w16"], "a", {}), ("Relu", ["a"], "b", {}),
    ("Gemm", ["b", "w16x16_f", "w16_f"], "float", {}), ("Relu", ["float"], "c", {}),
    ("Gemm", ["c", "w16x16_h"], "y", {}),
], ["n", 16])  # fmt: skip
MIXED = ("CONVOLUTIONS", "ONE_CHANNEL", "PRODUCTS", "ROWS")


def bundle_and_feed(model: onnx.ModelProto) -> tuple[qglow.Bundle, dict[str, np.ndarray]]:
    given = {"n": 2, "h": 8, "w": 8}
    shape = [d.dim_value or given[d.dim_param] for d in model.graph.input[0].type.tensor_type.shape.dim]
    data = [{"x": RNG.normal(size=shape).astype(np.float32)} for _ in range(8)]
    config: dict[str, object] = {"widen_percent": 0}  # NOTE: what is compared are operators on int8
    if any(n.name.startswith("n_float") for n in model.graph.node):
        config["exclude"] = ["re:^n_float"]
    return qglow.quantize(model, qglow.profile(model, data), config), data[0]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["ATTENTION", "IMAGES"])
def test_every_level_of_optimization_gives_the_same_integers(name: str, level: str) -> None:
    """Also around a Softmax, for which the optimizer has an operator with other integers."""
    bundle, feed = bundle_and_feed(globals()[name])
    assert ("QSoftmax" in {n.op for n in bundle.graph.nodes}) == (name == "ATTENTION")
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    (theirs,) = ort.InferenceSession(export_qdq(bundle.graph).SerializeToString(), options).run(None, feed)
    (ours,) = qglow.InferenceSession(bundle).run(None, feed)
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(ours).max()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("export", [export_qdq, export_qoperator])
def test_a_layer_that_is_left_in_float_stays_so(
    name: str, level: str, export: Callable[[qglow.graph.Graph], onnx.ModelProto]
) -> None:
    """The optimizer would round its weights to int8, with one scale for all: values would differ by many steps."""
    bundle, feed = bundle_and_feed(globals()[name])
    kept = {n.name: n for n in bundle.graph.nodes if n.name.startswith("n_float")}
    assert kept and not any(bundle.graph.types[o].is_quantized for n in kept.values() for o in n.outputs)
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    (theirs,) = ort.InferenceSession(export(bundle.graph).SerializeToString(), options).run(None, feed)
    (ours,) = qglow.InferenceSession(bundle).run(None, feed)
    assert (np.abs(ours - theirs) > 1e-5 * np.abs(ours).max()).mean() < 0.01


def test_openvino_runs_exports() -> None:
    openvino = pytest.importorskip("openvino")
    for model in (ATTENTION, IMAGES, *(globals()[name] for name in MIXED)):
        bundle, feed = bundle_and_feed(model)
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(export_qdq(bundle.graph).SerializeToString()), "CPU")
        theirs, (ours,) = compiled(feed)[0], qglow.InferenceSession(bundle).run(None, feed)
        assert ((ours - theirs) ** 2).sum() < 0.01 * (ours**2).sum()


def opset_of(model: onnx.ModelProto) -> int:
    return next(o.version for o in model.opset_import if not o.domain)


def test_the_opset_is_the_oldest_that_has_the_nodes() -> None:
    bundle, _ = bundle_and_feed(IMAGES)
    exported = export_qdq(bundle.graph)
    assert opset_of(exported) == 13 and exported.ir_version == 7
    bundle, _ = bundle_and_feed(ATTENTION)
    assert opset_of(export_qdq(bundle.graph)) == 17, "LayerNormalization"
    wide = qglow.quantize(
        IMAGES, qglow.profile(IMAGES, [bundle_and_feed(IMAGES)[1]]), qglow.QuantConfig(activations="int16")
    )
    assert opset_of(export_qdq(wide.graph)) == 21, "int16 in QuantizeLinear"
    mean = model_of(
        [("Conv", ["x", "w8x3x3x3"], "a", {}), ("ReduceMean", ["a"], "y", {"axes": [2, 3]})], ["n", 3, 8, 8]
    )
    assert opset_of(export_qdq(bundle_and_feed(mean)[0].graph)) == 18, "axes as an input"


def test_a_word_that_an_older_opset_does_not_know_needs_a_newer_one() -> None:
    for mode, opset in (("reflect", 18), ("wrap", 19)):
        nodes = [("Conv", ["x", "w8x3x3x3"], "a", {}), ("Pad", ["a", "pads"], "p", {"mode": mode}),
                 ("Conv", ["p", "w4x8x1x1"], "y", {})]  # fmt: skip
        model = model_of(nodes, ["n", 3, 8, 8])  # type: ignore[arg-type]
        model.opset_import[0].version, model.ir_version = 19, 9
        model.graph.initializer.append(numpy_helper.from_array(np.int64([0, 0, 1, 1, 0, 0, 1, 1]), "pads"))
        assert opset_of(export_qdq(bundle_and_feed(model)[0].graph)) == opset
