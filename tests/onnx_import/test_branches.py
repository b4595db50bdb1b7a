"""Models with If on every path that they take: import, simplify, profile, quantize, export and the session, beside
onnxruntime."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from branch_models import CONSTANT, MODELS, NESTED, RANKS, SQUEEZED, Feeds, Model

import qglow
from qglow.graph import Graph
from qglow.graph.select_op import SELECT
from qglow.graph.text import parse_graph, print_graph
from qglow.onnx_import import load
from qglow.onnx_import.export_float import export_float
from qglow.onnx_import.export_qdq import export_qdq
from qglow.pipeline import float_graph
from qglow.profiling import Profile
from qglow.reference import evaluate
from qglow.report import widen
from qglow.report.agreement import evaluate_all
from qglow.report.format_time import sizes
from qglow.runtime.native import NativePlan
from qglow.runtime.plans import ChoicePlan
from qglow.runtime.step_profile import plan_of, time_steps

EACH = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def proto(model: Model) -> onnx.ModelProto:
    return onnx.parser.parse_model(model.onnx)


def theirs(model: onnx.ModelProto, feeds: Feeds) -> list[np.ndarray]:
    return list(ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds))


def close(ours: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> None:
    for a, b in zip(ours, expected, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert np.linalg.norm(a.astype(np.float64) - b) <= tolerance * max(1e-6, float(np.linalg.norm(b)))


def quantized(model: Model) -> qglow.Bundle:
    graph = float_graph(proto(model))
    return qglow.quantize(graph, qglow.profile(graph, model.seen), check=False)


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


@EACH
def test_float_graph_computes_what_onnxruntime_computes(model: Model) -> None:
    imported, simplified = load(proto(model)), float_graph(proto(model))
    assert print_graph(parse_graph(print_graph(simplified), simplified.constants)) == print_graph(simplified)
    session = qglow.InferenceSession(simplified, 1)
    for feeds in (*model.seen, *model.other):
        expected = theirs(proto(model), feeds)
        for graph in (imported, simplified):
            close(list(evaluate(graph, feeds).values()), expected, 1e-6)
        close(session.run(None, feeds), expected, 1e-6)


@EACH
def test_bundle_runs_whatever_branch_is_taken(model: Model, tmp_path: Path) -> None:
    """Each engine gives the reference's bits, on inputs of calibration and on inputs that take the other branches."""
    quantized(model).save(tmp_path / "b.qglow")
    bundle = qglow.runtime.load(tmp_path / "b.qglow")
    session = qglow.InferenceSession(bundle, 1)
    for feeds in (*model.seen, *model.other):
        got = session.run(None, feeds)
        for a, b in zip(got, evaluate(bundle.graph, feeds).values(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert [a.shape for a in got] == [b.shape for b in theirs(proto(model), feeds)]
    pairs = [(session.run(None, feeds), theirs(proto(model), feeds)) for feeds in model.seen]
    errors, norms = (
        sum(float(np.sum((a - f * b) ** 2)) for x, y in pairs for a, b in zip(x, y, strict=True)) for f in (1, 0)
    )
    assert errors <= 0.03**2 * norms


@EACH
def test_exports_have_ifs_again(model: Model) -> None:
    graph, bundle = float_graph(proto(model)), quantized(model)
    for feeds in (*model.seen, *model.other):
        close(theirs(export_float(graph), feeds), theirs(proto(model), feeds), 1e-6)
        # runtimes may fuse or not fuse around Q/DQ: a tie may round the other way, by a small part of a step
        close(theirs(export_qdq(bundle.graph), feeds), list(evaluate(bundle.graph, feeds).values()), 0.02)


def test_a_branch_that_calibration_did_not_take_runs_in_float() -> None:
    for model in (SQUEEZED, RANKS):
        bundle = quantized(model)
        session = qglow.InferenceSession(bundle, 1)
        assert [d["precision"] for d in bundle.manifest["decisions"] if d["op"] == "MatMul"] == ["int8"]
        for feeds in (f for f in model.other if f["x"].shape[1] > 1):
            close(session.run(None, feeds), theirs(proto(model), feeds), 1e-6)


def test_sides_of_one_rank_are_quantized_where_they_were_reached() -> None:
    bundle = quantized(NESTED)
    reasons = {d["node"]: d["reason"] for d in bundle.manifest["decisions"] if d["op"] in ("Tanh", "Relu", "Neg")}
    by_op = {d["op"]: d for d in bundle.manifest["decisions"]}
    assert by_op["Tanh"]["precision"] == "float" and "not reached in calibration" in by_op["Tanh"]["reason"], reasons
    assert all("not reached" not in by_op[op]["reason"] for op in ("Relu", "Neg"))
    assert SELECT in ops(bundle.graph)


def test_a_select_of_int8_values_is_int8() -> None:
    """Both sides were reached: one range for both, and nothing is made float between the products."""
    bundle = quantized(replace(NESTED, seen=[*NESTED.seen, *NESTED.other]))
    selects = [n for n in bundle.graph.nodes if n.op == SELECT]
    assert len(selects) == 3 and all(bundle.graph.types[n.outputs[0]].is_quantized for n in selects)
    session = qglow.InferenceSession(bundle, 1)
    for feeds in (*NESTED.seen, *NESTED.other):
        got = session.run(None, feeds)
        for a, b in zip(got, evaluate(bundle.graph, feeds).values(), strict=True):
            np.testing.assert_array_equal(a, b)
        close(theirs(export_qdq(bundle.graph), feeds), got, 0.02)


@pytest.mark.parametrize("mean_of", ["x", "c"])
@pytest.mark.parametrize(("then", "other"), [("Relu", "Tanh"), ("Neg", "Relu"), ("Conv", "Tanh"), ("Conv", "Conv")])
def test_a_condition_on_a_mean_of_what_is_int8(mean_of: str, then: str, other: str) -> None:
    """The mean could be int8 itself, but the condition reads it as it is. Both sides were reached, so the Select is
    int8."""
    sides = {"Conv": "Conv (c, k)", **{op: f"{op} (c)" for op in ("Relu", "Tanh", "Neg")}}
    rng = np.random.default_rng(0)
    text = f"""g (float[1, 3, 8, 8] x) => (float[1, 3, 8, 8] y) {{
      c = Conv <pads = [1, 1, 1, 1]> (x, w)
      m = ReduceMean <keepdims = 0> ({mean_of})
      zero = Constant <value = float {{0.0}}> ()
      go = Greater (m, zero)
      i = If (go) <then_branch = t () => (float[1, 3, 8, 8] a) {{ a = {sides[then]} }},
                   else_branch = e () => (float[1, 3, 8, 8] b) {{ b = {sides[other]} }}>
      y = Relu (i)
    }}"""
    made = onnx.parser.parse_model('<ir_version: 8, opset_import: ["": 15]>\n' + text)
    for name, shape in (("w", (3, 3, 3, 3)), ("k", (3, 3, 1, 1))):
        made.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name))
    seen = [{"x": (sign * 0.2 + rng.normal(0, 1, (1, 3, 8, 8))).astype(np.float32)} for sign in (-1, 1, -1, 1)]
    graph = float_graph(made)
    means = [float(evaluate(graph.with_(outputs=("m",)), feeds)["m"]) for feeds in seen]
    assert min(means) < 0 < max(means)
    bundle = qglow.quantize(graph, qglow.profile(graph, seen), check=False)
    session = qglow.InferenceSession(bundle, 1)
    for feeds in seen:
        got = session.run(None, feeds)
        np.testing.assert_array_equal(got[0], evaluate(bundle.graph, feeds)["y"])
        close(got, theirs(made, feeds), 0.05)
        close(theirs(export_qdq(bundle.graph), feeds), got, 0.02)


@EACH
def test_reports_and_targets_know_branches(model: Model) -> None:
    """Samples that take different branches, in one report, and in the search for a target: it is reached, by formats
    that are found or, where none are, with all nodes in float, which is said to miss it."""
    graph = float_graph(proto(model))
    profile = qglow.profile(graph, model.seen)
    bundle = qglow.quantize(graph, profile, check=False)
    samples = [*model.seen, *model.other]
    report = qglow.compare(graph, bundle, samples).to_dict()
    assert set(report["outputs"]) == set(graph.outputs)
    try:
        better = qglow.quantize(graph, profile, qglow.QuantConfig(min_sqnr_db=60.0), check=samples)
        assert not better.manifest["target"]["nothing_quantized"]
    except qglow.AccuracyError as missed:
        assert "takes all nodes in float" in str(missed)
        better = missed.bundle
        assert better.manifest["target"]["nothing_quantized"]
    worst = min(o["sqnr_db"] for o in qglow.compare(graph, better, model.seen).to_dict()["outputs"].values())
    assert worst >= 58  # NOTE: the search judges halves of the samples, of which this is another part


@EACH
def test_wider_formats_are_sought_behind_branches(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes of values, by which formats are priced, follow from data there."""
    graph = float_graph(proto(model))
    for feeds in model.seen:
        found, real = sizes(graph, feeds), evaluate_all(graph, feeds)
        assert all(found[o].shape == real[o].shape for o in graph.outputs)
    monkeypatch.setattr(widen, "GOOD_DB", 1e3)
    made = qglow.quantize(graph, qglow.profile(graph, [*model.seen] * 3), {"min_agreement_sqnr_db": -100.0})
    assert made.manifest["agreement"] is not None


def test_conditions_of_shapes_cost_nothing_when_it_runs() -> None:
    """Nothing but kernels is left of the branch, though its rank was not known before there was an input."""
    bundle = quantized(RANKS)
    plan = plan_of(qglow.InferenceSession(bundle, 1), RANKS.seen[0])
    assert isinstance(plan, NativePlan)
    assert not {"Shape", "Size", "Equal", SELECT} & set(ops(plan.program.graph))
    assert ops(plan.program.graph).count("MatMul") == 1


def test_each_value_of_an_input_condition_has_a_plan_of_its_own() -> None:
    session = qglow.InferenceSession(float_graph(proto(NESTED)), 1)
    plan = session._plan(session._checked(NESTED.seen[0]))
    assert isinstance(plan, ChoicePlan) and not plan.plans
    for k in (7, 8, 9, -4):
        session.run(None, {"x": NESTED.seen[0]["x"], "k": np.array(k)})
    inner = plan.plans[True]
    assert isinstance(inner, ChoicePlan) and set(plan.plans) == {True, False} and set(inner.plans) == {True, False}
    assert all(isinstance(p, NativePlan) for p in (plan.plans[False], *inner.plans.values()))
    assert plan_of(session, NESTED.seen[0]) is inner.plans[True]
    assert (
        [s.kind for s in time_steps(session, NESTED.seen[0], 1)].count("Select")
        == 0
        < len(time_steps(session, NESTED.seen[0], 1))
    )


def test_constant_conditions_leave_no_branch() -> None:
    graph = float_graph(proto(CONSTANT))
    assert ops(graph).count(SELECT) == 1 and "Neg" not in ops(graph)
    fixed = onnx.parser.parse_model(CONSTANT.onnx.replace("float[N, 3] x", "float[2, 3] x"))
    assert not {SELECT, "Onnx"} & set(ops(float_graph(fixed)))


def test_profile_counts_what_decided(tmp_path: Path) -> None:
    graph = float_graph(proto(NESTED))
    first = qglow.profile(graph, NESTED.seen)
    assert sorted(first.choices.values()) == [(0, 4), (2, 2)]
    assert sorted(first.merge(first).choices.values()) == [(0, 8), (4, 4)]
    first.save(tmp_path / "p.json")
    assert Profile.load(tmp_path / "p.json").choices == first.choices
    raw = json.loads((tmp_path / "p.json").read_text())
    for wrong in ([-1, 2], [1], "x", 3):
        raw["choices"]["big"] = wrong
        (tmp_path / "wrong.json").write_text(json.dumps(raw))
        with pytest.raises(qglow.errors.ProfileError):
            Profile.load(tmp_path / "wrong.json")


def test_the_other_engine_profiles_what_every_input_computes() -> None:
    graph = float_graph(proto(NESTED))
    ours, other = (qglow.profile(graph, NESTED.seen, engine=e) for e in ("qglow", "onnxruntime"))
    assert other.tensors["h"].count == ours.tensors["h"].count > 0
    assert other.tensors["m"].count == 0 < ours.tensors["m"].count
    bundle = qglow.quantize(graph, other, check=False)
    for feeds in NESTED.seen:
        close(list(evaluate(bundle.graph, feeds).values()), theirs(proto(NESTED), feeds), 0.05)


def test_a_condition_must_be_one_element() -> None:
    text = """graph "two"
input %c: bool[2]
input %x: f32[2]
%n: f32[2] = Neg(%x) "neg"
%y: f32[2] = Select(%c, %x, %n) "if"
output %y
"""
    feeds = {"c": np.array([True, False]), "x": np.ones(2, np.float32)}
    with pytest.raises(qglow.errors.ModelError, match="one element"):
        evaluate(parse_graph(text), feeds)
    with pytest.raises(qglow.errors.QGlowError, match="one element"):
        qglow.InferenceSession(parse_graph(text), 1).run(None, feeds)


def test_shapes_that_an_exporter_saw_once_decide_nothing() -> None:
    """The model says that the rank after its branch is 2, as it is of the inputs that were traced."""
    model = proto(RANKS)
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("v", onnx.TensorProto.FLOAT, ["N", 3]))
    for branch in (a.g for n in model.graph.node if n.output[0] == "v" for a in n.attribute):
        branch.output[0].CopyFrom(
            onnx.helper.make_tensor_value_info(branch.output[0].name, onnx.TensorProto.FLOAT, ["N", 3])
        )
    before = model.SerializeToString()
    graph = float_graph(model)
    assert ops(graph).count(SELECT) == 2 and model.SerializeToString() == before
    for feeds in (*RANKS.seen, *RANKS.other):
        close(list(evaluate(graph, feeds).values()), theirs(proto(RANKS), feeds), 1e-6)


def test_lists_of_tensors_within_a_branch_stay_with_the_reference() -> None:
    text = """<ir_version: 8, opset_import: ["": 15]>
g (float[N] x, bool c) => (float[M] y) {
  y = If (c) <then_branch = t () => (float[M] a) { s = SequenceConstruct (x, x) a = ConcatFromSequence <axis = 0> (s) },
              else_branch = e () => (float[M] b) { b = Neg (x) }>
}"""
    model = onnx.parser.parse_model(text)
    assert ops(float_graph(model)) == ["Onnx"]
    for c in (True, False):
        feeds = {"x": noise_of(3), "c": np.array(c)}
        close(list(evaluate(float_graph(model), feeds).values()), theirs(model, feeds), 1e-6)


def test_a_branch_of_what_has_no_meaning_here_is_refused() -> None:
    """onnx's reference gives such values a dimension more than they have."""
    text = """<ir_version: 8, opset_import: ["": 17]>
g (float[3] x, bool c) => (float[M] y) {
  y = If (c) <then_branch = t () => (float[M] a) { o = Optional (x) a = OptionalGetElement (o) },
              else_branch = e () => (float[M] b) { s = SequenceConstruct (x)
                k = Constant <value = int64 {0}> () b = SequenceAt (s, k) }>
}"""
    model = onnx.parser.parse_model(text)
    feeds = {"x": noise_of(3), "c": np.array(True)}
    with pytest.raises(qglow.errors.ModelError, match="optional; only tensors are supported"):
        evaluate(float_graph(model), feeds)
    feeds["c"] = np.array(False)
    close(list(evaluate(float_graph(model), feeds).values()), theirs(model, feeds), 1e-6)


def noise_of(size: int) -> np.ndarray:
    return np.linspace(-1, 1, size, dtype=np.float32)
