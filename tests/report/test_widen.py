"""Wider formats where int8 alone is poor: what becomes wider, that it is worth it on samples that chose nothing, and
that what needs nothing is left alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from bench.accuracy import made
from bench.accuracy.agreement import powers, summary
from qglow.commands.main import main
from qglow.graph.digest import digests
from qglow.quantization import QuantConfig, run_passes
from qglow.quantizing import start_of
from qglow.report import widen
from qglow.report.format_time import sizes
from qglow.report.noise_sources import Trial
from tests.trained import families, stored


@cache
def model(name: str) -> made.Made:
    return made.MODELS[name]()


@cache
def bundle(name: str, widen_percent: float) -> qglow.Bundle:
    profile = qglow.profile(model(name).proto, model(name).calibration)
    return qglow.quantize(model(name).proto, profile, {"widen_percent": widen_percent, "min_agreement_sqnr_db": 0.0})


def decibels(made_bundle: qglow.Bundle, name: str) -> float:
    session = qglow.InferenceSession(made_bundle, 1)
    real = qglow.InferenceSession(qglow.pipeline.float_graph(model(name).proto), 1)
    pairs = [powers(real.run(None, t), session.run(None, t)) for t in model(name).tests[:40]]
    return summary(np.array([s for s, _ in pairs]), np.array([n for _, n in pairs]), None).mean


def test_a_poor_model_is_better_on_new_samples() -> None:
    """A few channels are 60 times as large as others: 3 to 6 dB in int8 alone."""
    account = bundle("outliers", 50.0).manifest["wider"]
    assert account["int8_db"] < 20 and account["reached_db"] >= account["int8_db"] + 1
    assert 0 < account["more_time_percent"] <= 50
    assert decibels(bundle("outliers", 50.0), "outliers") > decibels(bundle("outliers", 0.0), "outliers") + 2


def test_fast_tries_nothing_and_is_judged() -> None:
    """Its nodes and bits are those of a bundle for which no samples were read at all, and it is compared with float."""
    recorded = qglow.profile(model("outliers").proto, model("outliers").calibration)
    fast = qglow.quantize(model("outliers").proto, recorded, {"effort": "fast", "min_agreement_sqnr_db": 0.0})
    blind = qglow.quantize(model("outliers").proto, recorded, check=False)
    texts = [[repr(n) for n in b.graph.nodes] for b in (fast, blind, bundle("outliers", 50.0))]
    assert texts[0] == texts[1] != texts[2] and fast.graph.types == blind.graph.types
    assert digests(fast.graph.constants) == digests(blind.graph.constants)
    assert fast.manifest["agreement"] is not None and not {"wider", "biases"} & fast.manifest.keys()
    assert fast.manifest["config"]["effort"] == "fast"


def test_the_account_is_of_nodes_that_were_int8() -> None:
    wide, alone = bundle("outliers", 50.0), bundle("outliers", 0.0)
    before = {d["node"]: d["precision"] for d in alone.manifest["decisions"]}
    after = {d["node"]: d["precision"] for d in wide.manifest["decisions"]}
    nodes = wide.manifest["wider"]["nodes"]
    assert nodes and all(before[n["node"]] == "int8" and after[n["node"]] == n["precision"] for n in nodes)


def test_zero_is_int8_alone() -> None:
    assert "wider" not in bundle("outliers", 0.0).manifest
    assert all(d["precision"] != "int16" for d in bundle("outliers", 0.0).manifest["decisions"])


def test_a_good_model_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("nothing is to be searched for")

    monkeypatch.setattr("qglow.report.widen.Trial", never)
    rng = np.random.default_rng(3)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 16]) for n in "xy")
    w = numpy_helper.from_array(rng.normal(0, 1, (16, 16)).astype(np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], "product")], "good", [x], [y], [w])
    good = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    samples = [{"x": rng.normal(0, 1, (1, 16)).astype(np.float32)} for _ in range(40)]
    assert "wider" not in qglow.quantize(good, qglow.profile(good, samples)).manifest


def test_the_same_bundle_again() -> None:
    profile = qglow.profile(model("outliers").proto, model("outliers").calibration)
    again = qglow.quantize(model("outliers").proto, profile, {"min_agreement_sqnr_db": 0.0})
    assert again.manifest["wider"] == bundle("outliers", 50.0).manifest["wider"]


@pytest.mark.parametrize("percent", [-1.0, 2000.0])
def test_a_share_that_cannot_be(percent: float) -> None:
    with pytest.raises(qglow.errors.ConfigError, match="widen_percent"):
        QuantConfig(widen_percent=percent)


def test_quantize_says_so(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    profile, out = tmp_path / "p.json", tmp_path / "b.qglow"
    path = tmp_path / "m.onnx"
    path.write_bytes(model("outliers").proto.SerializeToString())
    qglow.profile(path, model("outliers").calibration).save(profile)
    assert main(["quantize", str(path), "--profile", str(profile), "-o", str(out)]) == 0
    assert "int8 alone is poor" in capsys.readouterr().out
    report = qglow.compare(path, out, model("outliers").tests[:4])
    assert report.to_dict()["wider"]["reached_db"] > report.to_dict()["wider"]["int8_db"]
    assert main(["quantize", str(path), "--profile", str(profile), "-o", str(out), "--widen-percent", "0",
                 "--min-agreement-sqnr-db", "0"]) == 0  # fmt: skip
    assert "int8 alone is poor" not in capsys.readouterr().out


def test_where_noise_is_spread_no_group_is_halved() -> None:
    graph = qglow.pipeline.float_graph(stored.model("residual"))
    samples = families.feeds("residual", 8)
    config = QuantConfig()
    start = start_of(graph, graph, qglow.profile(graph, samples), config, False)
    first = run_passes(start)
    search = widen.Search(graph, first, lambda c: run_passes(replace(start, config=c)), sizes(graph, samples[0]))
    groups = Trial(graph, first.graph, config, samples[:2]).groups(1)
    even = [replace(g, noise=np.full_like(g.noise, search.seconds(g))) for g in groups]
    assert len(groups) == 16 and not search.is_hopeful(even)
    cheapest = min(range(16), key=lambda k: search.seconds(even[k]))
    loud = [replace(g, noise=g.noise * (1000.0 if k == cheapest else 1.0)) for k, g in enumerate(even)]
    assert search.is_hopeful(loud)


def test_one_rounding_is_found_among_many() -> None:
    """A value that is rounded to steps 100 times too wide is alone in the group that has nearly all noise."""
    graph = qglow.pipeline.float_graph(stored.model("residual"))
    samples = families.feeds("residual", 8)
    profile = qglow.profile(graph, samples)
    spoiled = next(n.outputs[0] for n in graph.nodes if n.op == "Relu")
    profile.tensors[spoiled].max *= 100
    made_bundle = qglow.quantize(graph, profile, {"calibration": "minmax"}, check=False)
    found = Trial(graph, made_bundle.graph, QuantConfig(calibration="minmax"), samples[:2]).find(500)
    worst = max(found, key=lambda s: float(s.noise.max()))
    assert worst.values == (spoiled,) and worst.noise.max() > 0.9 * sum(s.noise.max() for s in found)


FRAME, BANDS = 32, 8


def log_bands() -> Any:
    """Logarithms of the powers in bands of a signal, as speech models read them: they span more than 16 bits hold."""
    k, t = np.arange(FRAME // 2 + 1)[:, None], np.arange(FRAME)
    waves = np.concatenate([f(2 * np.pi * k * t / FRAME) * np.hanning(FRAME) for f in (np.cos, np.sin)])
    bands = np.kron(np.eye(BANDS), np.ones((2, 1)))[: FRAME // 2]
    constants = {
        "waves": waves[:, None].astype(np.float32),
        "bands": np.concatenate([np.zeros((1, BANDS)), bands]).astype(np.float32),
        "least": np.float32(1e-9), "sizes": np.array([FRAME // 2 + 1] * 2),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "waves"], ["spectrum"], strides=[FRAME // 2]),
        helper.make_node("Split", ["spectrum", "sizes"], ["real", "imaginary"], axis=1),
        helper.make_node("Mul", ["real", "real"], ["a"]),
        helper.make_node("Mul", ["imaginary", "imaginary"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["power"]),
        helper.make_node("Transpose", ["power"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["frames", "bands"], ["sums"]),
        helper.make_node("Max", ["sums", "least"], ["known"]),
        helper.make_node("Log", ["known"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1024])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "bands", [x], [y], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def sounds(count: int) -> list[dict[str, Any]]:
    """Tones that come and go, each fainter than those below it, and faint noise."""
    rng, t = np.random.default_rng(8), np.arange(1024)
    found = []
    for _ in range(count):
        loud = np.exp(rng.normal(-2, 1.5, (12, 1))) * np.exp(-0.5 * np.arange(12))[:, None]
        tones = np.sin(np.outer(np.linspace(0.05, 2.8, 12), t) + rng.uniform(0, 6, (12, 1)))
        x = (loud * tones * np.clip(np.sin(t / 100 + rng.uniform(0, 6)), 0, 1)).sum(0) + rng.normal(0, 1e-4, 1024)
        found.append({"x": x[None, None].astype(np.float32)})
    return found


def test_what_16_bits_do_not_hold_becomes_float() -> None:
    """Behind a Transpose too, which moves the integers that it is given; the first product stays whole numbers."""
    m, samples = log_bands(), sounds(60)
    profile = qglow.profile(m, samples[:20])
    alone, wide = (
        qglow.quantize(m, profile, {"widen_percent": p, "min_agreement_sqnr_db": 0.0}, check=samples[:20])
        for p in (0.0, 50.0)
    )
    real = qglow.InferenceSession(qglow.pipeline.float_graph(m), 1)
    levels = []
    for b in (alone, wide):
        session = qglow.InferenceSession(b, 1)
        pairs = [powers(real.run(None, t), session.run(None, t)) for t in samples[20:]]
        levels.append(summary(np.array([s for s, _ in pairs]), np.array([n for _, n in pairs]), None).mean)
    assert levels[0] < widen.JUNK_DB < levels[1], levels
    formats = {d["op"]: d["precision"] for d in wide.manifest["decisions"]}
    assert formats["MatMul"] == "float" and formats["Conv"] != "float", formats
