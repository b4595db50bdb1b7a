"""onnxruntime's own ops mean here what they mean there, and the models that it saves at its optimization levels run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from contrib_cases import OWN, Case, cases
from onnx import helper, numpy_helper

import qglow
import qglow.pipeline
from qglow.errors import ModelError
from qglow.graph import Array
from qglow.onnx_import.contrib.expand import BODIES

CASES = {c.name: c for c in cases()}
LEVELS = {
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def model_of(case: Case, opset: int, named: bool) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """named: sizes of inputs are names."""
    given = {f"i{k}": a for k, a in enumerate(case.inputs) if a is not None}
    constants = {f"i{k}" for k in case.constants}
    feeds = {n: a for n, a in given.items() if n not in constants}
    names = [f"i{k}" if a is not None else "" for k, a in enumerate(case.inputs)]
    outputs = [f"o{k}" for k in range(case.outputs)] if isinstance(case.outputs, int) else list(case.outputs)
    node = helper.make_node(case.op, names, outputs, name="node", domain=case.domain, **case.attributes)
    infos = [
        helper.make_tensor_value_info(
            n, helper.np_dtype_to_tensor_dtype(a.dtype), [f"{n}_{k}" for k in range(a.ndim)] if named else a.shape
        )
        for n, a in feeds.items()
    ]
    tensors = [numpy_helper.from_array(given[n], n) for n in sorted(constants & set(given))]
    graph = helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name=o) for o in outputs if o], tensors)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(OWN, 1)], ir_version=8
    ), feeds


def reference_of(
    model: onnx.ModelProto, feeds: dict[str, Array], options: ort.SessionOptions | None = None
) -> list[Array]:
    options = options or ort.SessionOptions()
    options.log_severity_level = 4
    return list(
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, feeds)
    )


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("name", CASES)
def test_as_onnxruntime(name: str, opset: int) -> None:
    if name.startswith("onnx_"):
        opset = {11: 23, 13: 24}.get(opset, 23)
    elif name.startswith("withdrawn_"):
        opset = {11: 7, 13: 8, 18: 9}[opset]
    elif opset > 16 and CASES[name].op == "LayerNormalization":
        pytest.skip("is ONNX's own there")
    model, feeds = model_of(CASES[name], opset, named=opset == 13)
    want = reference_of(model, feeds)
    got = qglow.InferenceSession(qglow.pipeline.float_graph(model)).run(None, feeds)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        exact = a.dtype.kind in "iu" and not CASES[name].op.startswith("QLinear")
        assert np.array_equal(a, b) if exact else np.allclose(a, b, 1e-3, 1 if a.dtype.kind in "iu" else 2e-4)


def test_every_op_has_a_case() -> None:
    """But for those that onnxruntime has no kernel of on the CPU, an old name of one, and two with files of their own:
    test_dynamic_lstm.py, test_fake_quantize.py."""
    cased = {("" if c.domain == "" else OWN, c.op) for c in CASES.values()}
    assert set(BODIES) - cased == {
        (OWN, n) for n in ("BiasSoftmax", "NhwcConv", "NhwcFusedConv", "TransposeMatMul")
    } | {(OWN, "SimplifiedLayerNormalization"), (OWN, "DynamicQuantizeLSTM"), ("org.openvinotoolkit", "FakeQuantize")}


@pytest.mark.parametrize(
    ("op", "attributes", "inputs", "words"),
    [
        ("Attention", {"num_heads": 2, "do_rotary": 1}, 3, "rotary positions is not supported"),
        ("MultiHeadAttention", {"num_heads": 2}, 1, "packed queries"),
        ("GroupQueryAttention", {"num_heads": 2, "kv_num_heads": 1, "softcap": 3.0}, 7, "a cap"),
        ("FusedConv", {"activation": "Nothing"}, 2, "the activation 'Nothing'"),
        ("BeamSearch", {}, 1, "BeamSearch"),
    ],
)
def test_other_forms_are_refused(op: str, attributes: dict[str, Any], inputs: int, words: str) -> None:
    arrays = [np.ones((2, 2, 2, 2) if op == "FusedConv" else (2, 3, 4), np.float32)] * inputs
    model, _ = model_of(Case("refused", op, arrays, (), attributes), 18, named=False)
    with pytest.raises(ModelError, match=words):
        qglow.pipeline.float_graph(model)


def network() -> onnx.ModelProto:
    """Convolutions with activations and a residual sum, then a layer norm, an attention and a Gelu spelled out."""
    rng = np.random.default_rng(1)
    tensors: dict[str, Array] = {
        "w0": rng.normal(0, 0.3, (24, 3, 3, 3)), "w1": rng.normal(0, 0.1, (24, 24, 3, 3)),
        "w2": rng.normal(0, 0.3, (24, 24)),
        "gain": rng.normal(1, 0.1, 24), "shift": rng.normal(0, 0.1, 24), "sum": rng.normal(0, 0.1, 24),
        "half": np.array(0.5),
        "one": np.array(1.0), "root": np.array(np.sqrt(2.0)), "factor": np.array(0.2),
    }  # fmt: skip
    n = helper.make_node
    nodes = [
        n("Conv", ["x", "w0"], ["a"], pads=[1, 1, 1, 1]), n("Relu", ["a"], ["b"]),
        n("Conv", ["b", "w1"], ["c"], pads=[1, 1, 1, 1]),
        n("Add", ["c", "b"], ["d"]), n("Relu", ["d"], ["e"]), n("Reshape", ["e", "rows"], ["f"]),
        n("Transpose", ["f"], ["g"], perm=[0, 2, 1]),
        n("LayerNormalization", ["g", "gain", "shift"], ["h"]), n("Transpose", ["h"], ["k"], perm=[0, 2, 1]),
        n("MatMul", ["h", "k"], ["s"]),
        n("Mul", ["s", "factor"], ["t"]), n("Softmax", ["t"], ["p"]), n("MatMul", ["p", "h"], ["q"]),
        n("Add", ["q", "g"], ["r"]),
        n("MatMul", ["r", "w2"], ["u0"]), n("Add", ["u0", "sum"], ["u"]), n("Div", ["u", "root"], ["v0"]),
        n("Erf", ["v0"], ["v1"]),
        n("Add", ["v1", "one"], ["v2"]), n("Mul", ["u", "v2"], ["v3"]), n("Mul", ["v3", "half"], ["y"]),
    ]  # fmt: skip
    constants = [numpy_helper.from_array(np.asarray(a, np.float32), name) for name, a in tensors.items()]
    constants.append(numpy_helper.from_array(np.array([0, 24, -1]), "rows"))
    x, y = (helper.make_tensor_value_info(v, 1, s) for v, s in (("x", ["N", 3, 6, 6]), ("y", ["N", 36, 24])))
    return helper.make_model(
        helper.make_graph(nodes, "net", [x], [y], constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )


@pytest.mark.parametrize("level", LEVELS)
def test_what_onnxruntime_saves_runs(level: str, tmp_path: Path) -> None:
    """Of the level `all` files are for one CPU: those are refused, with the level to take."""
    feeds, options = {"x": np.random.default_rng(2).normal(size=(2, 3, 6, 6)).astype(np.float32)}, ort.SessionOptions()
    options.graph_optimization_level, options.optimized_model_filepath = LEVELS[level], str(tmp_path / "saved.onnx")
    want = reference_of(network(), feeds, options)[0]
    domains = {n.domain for n in onnx.load(tmp_path / "saved.onnx").graph.node}
    assert (level == "basic") == (domains <= {"", "ai.onnx"})
    if "com.microsoft.nchwc" in domains:
        with pytest.raises(ModelError, match="ORT_ENABLE_EXTENDED"):
            qglow.pipeline.float_graph(tmp_path / "saved.onnx")
        return
    session = qglow.InferenceSession(qglow.pipeline.float_graph(tmp_path / "saved.onnx"))
    assert np.allclose(session.run(None, feeds)[0], want, 1e-4, 1e-4)


def test_an_optimized_model_becomes_int8(tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level, options.optimized_model_filepath = (
        LEVELS["extended"],
        str(tmp_path / "saved.onnx"),
    )
    rng = np.random.default_rng(3)
    data = [{"x": rng.normal(size=(1, 3, 6, 6)).astype(np.float32)} for _ in range(8)]
    reference_of(network(), data[0], options)
    saved = tmp_path / "saved.onnx"
    bundle = qglow.quantize(saved, qglow.profile(saved, data))
    assert sum(d["precision"] == "int8" for d in bundle.manifest["decisions"]) >= 5
    got, want = qglow.InferenceSession(bundle).run(None, data[0])[0], reference_of(network(), data[0])[0]
    assert 10 * np.log10(np.mean(want**2) / np.mean((got - want) ** 2)) > 20
