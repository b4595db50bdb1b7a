"""The form with operators on integers: the bundle's integers in onnxruntime at every level of its optimizer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper
from test_export_runtimes import ATTENTION, IMAGES, LEVELS, RNG, bundle_and_feed, model_of, opset_of

import qglow
from qglow.commands.main import main
from qglow.onnx_import.export_qoperator import export_qoperator

MLP = model_of([
    ("Gemm", ["x", "w12x10", "w10"], "a", {}), ("Relu", ["a"], "b", {}),
    ("Gemm", ["b", "w6x10", "w6"], "c", {"transB": 1}), ("Clip", ["c", "low", "high"], "d", {}),
    ("Gemm", ["d", "w6x4"], "y", {}),
], ["n", 12])  # fmt: skip
MLP.graph.initializer.extend(numpy_helper.from_array(np.float32(v), k) for k, v in (("low", -0.4), ("high", 0.9)))
BRANCHES = model_of([
    ("Conv", ["x", "w6x3x3x3"], "a", {"pads": [1] * 4}), ("Conv", ["x", "w4x3x1x1", "w4"], "b", {}),
    ("Concat", ["a", "b"], "c", {"axis": 1}), ("AveragePool", ["c"], "d", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("Conv", ["d", "w10x10x1x1"], "e", {}), ("Mul", ["e", "d"], "f", {}), ("Reshape", ["f", "shape"], "g", {}),
    ("MatMul", ["g", "w16x5"], "y", {}),
], ["n", 3, 8, 8])  # fmt: skip
BRANCHES.graph.initializer.append(numpy_helper.from_array(np.int64([0, 10, 16]), "shape"))
MODELS = {"IMAGES": IMAGES, "ATTENTION": ATTENTION, "MLP": MLP, "BRANCHES": BRANCHES}
WANTED = {
    "IMAGES": {"QLinearConv", "QLinearAdd", "QLinearGlobalAveragePool", "MaxPool"},
    "ATTENTION": {"QLinearMatMul", "Transpose"},
    "MLP": {"QGemm"},
    "BRANCHES": {"QLinearConv", "QLinearConcat", "QLinearAveragePool", "QLinearMul", "Reshape"},
}


@pytest.mark.parametrize("name", sorted(WANTED))
def test_every_level_of_optimization_gives_the_same_integers(name: str) -> None:
    bundle, feed = bundle_and_feed(MODELS[name])
    exported = export_qoperator(bundle.graph)
    ops = Counter(n.op_type for n in exported.graph.node)
    assert set(ops) >= WANTED[name]
    (ours,) = qglow.InferenceSession(bundle).run(None, feed)
    for level in LEVELS:
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        (theirs,) = ort.InferenceSession(exported.SerializeToString(), options).run(None, feed)
        assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(ours).max(), level


def test_a_narrower_output_is_a_clip_of_integers() -> None:
    bundle, feed = bundle_and_feed(IMAGES)
    products = [n for n in bundle.graph.nodes if n.op == "Conv"][:3]
    nodes = tuple(n.with_attributes(qmin=9, qmax=200) if n in products else n for n in bundle.graph.nodes)
    graph = bundle.graph.with_(nodes=nodes)
    exported = export_qoperator(graph)
    constants = {t.name: numpy_helper.to_array(t) for t in exported.graph.initializer}
    clips = [[constants[i] for i in n.input[1:]] for n in exported.graph.node if n.op_type == "Clip"]
    assert [(int(a), int(b)) for a, b in clips] == [(9, 200)] * 3 and all(a.dtype == np.uint8 for c in clips for a in c)
    (ours,) = qglow.InferenceSession(graph).run(None, feed)
    (theirs,) = ort.InferenceSession(exported.SerializeToString()).run(None, feed)
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(ours).max()


def test_what_has_no_form_stands_between_quantize_and_dequantize() -> None:
    """16 bits, a line, and what is float."""
    data = [{"x": RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)} for _ in range(4)]
    wide = qglow.quantize(IMAGES, qglow.profile(IMAGES, data), qglow.QuantConfig(activations="int16"))
    assert not [n for n in export_qoperator(wide.graph).graph.node if n.op_type.startswith("QLinearConv")]
    line = model_of([("Conv", ["x", "w8x3x3"], "a", {}), ("Relu", ["a"], "b", {}), ("Conv", ["b", "w4x8x3"], "y", {})],
                    ["n", 3, 20])  # fmt: skip
    bundle, feed = bundle_and_feed(line)
    exported = export_qoperator(bundle.graph)
    assert "QLinearConv" not in {n.op_type for n in exported.graph.node}
    (ours,) = qglow.InferenceSession(bundle).run(None, feed)
    (theirs,) = ort.InferenceSession(exported.SerializeToString()).run(None, feed)
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(ours).max()


def test_the_opset_stays_old() -> None:
    assert opset_of(export_qoperator(bundle_and_feed(IMAGES)[0].graph)) == 13


def test_it_comes_back_with_its_integers() -> None:
    """Imported again, as the model that somebody else quantized."""
    bundle, feed = bundle_and_feed(IMAGES)
    again = qglow.quantize(export_qoperator(bundle.graph))
    (before,), (after,) = (qglow.InferenceSession(b).run(None, feed) for b in (bundle, again))
    assert np.abs(before - after).max() <= 1e-5 * np.abs(before).max()


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, _ = bundle_and_feed(MLP)
    bundle.save(tmp_path / "m.qglow")
    assert main(["export", str(tmp_path / "m.qglow"), "--format", "qoperator", "-o", str(tmp_path / "m.onnx")]) == 0
    assert "QGemm" in {n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node}
    assert main(["export", str(tmp_path / "m.qglow"), "--format", "other"]) == 2
    assert "qoperator" in capsys.readouterr().err
