"""The search for a target at its edges: out of reach, mixes that fail, time that runs out, a metric of the caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.commands.main import main
from qglow.errors import AccuracyError, ConfigError, DataError
from qglow.metrics import Target, top_k
from qglow.oracle import float_oracle
from qglow.pipeline import float_graph
from qglow.profiling import open_dataset
from qglow.quantization import QuantConfig, QuantState, quantize_graph
from qglow.report import search
from qglow.report.html import _target
from qglow.report.judging import GIVEN, Grounds
from qglow.report.target import MixedPrecisionResult, folds_of

SAMPLES, WIDTH = 16, 8
Quantized = Callable[[QuantConfig], QuantState]


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """Four products of x [1, WIDTH], with a Relu after each but the last, which gives y [1, WIDTH]."""
    rng, nodes, constants, value = np.random.default_rng(3), [], [], "x"
    for k in range(4):
        w = rng.normal(0, WIDTH**-0.5, (WIDTH, WIDTH)).astype(np.float32)
        constants.append(numpy_helper.from_array(w, f"w{k}"))
        made = "y" if k == 3 else f"product{k}"
        nodes.append(helper.make_node("MatMul", [value, f"w{k}"], [made], name=f"m{k}"))
        if k < 3:
            nodes.append(helper.make_node("Relu", [made], [f"relu{k}"], name=f"r{k}"))
            value = f"relu{k}"
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, WIDTH]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def data() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(4)
    return [{"x": rng.normal(0, 1, (1, WIDTH)).astype(np.float32)} for _ in range(SAMPLES)]


@pytest.fixture(scope="module")
def profile(model: onnx.ModelProto, data: list[dict[str, np.ndarray]]) -> qglow.Profile:
    return qglow.profile(model, data)


def searched(
    model: onnx.ModelProto, data: list[dict[str, np.ndarray]], profile: qglow.Profile, config: QuantConfig,
    change: Callable[[Quantized], Quantized] = lambda made: made, budget: float | None = None,
    wider: QuantConfig | None = None,
) -> MixedPrecisionResult:  # fmt: skip
    """change: what to make of the function that quantizes with a mix. wider: what wider formats there are at first."""
    graph = float_graph(model)
    observed = profile.matched(graph)

    def quantized(mix: QuantConfig) -> QuantState:
        return quantize_graph(graph, observed, mix)

    first = quantized(config)
    grounds = Grounds(GIVEN, open_dataset(data, graph), {})
    folds = folds_of(grounds, float_oracle(model, graph), config, lambda c: pytest.fail("no cross-validation here"))
    widened = None if wider is None else lambda: quantized(wider)
    return search.reach(graph, first, change(quantized), folds, budget, widened=widened)


def arguments(
    model: onnx.ModelProto, data: list[dict[str, np.ndarray]], profile: qglow.Profile, folder: Path
) -> list[str]:
    """Of `qglow quantize`, with the model, its profile and its data as files."""
    onnx.save(model, folder / "m.onnx")
    profile.save(folder / "p.json")
    (folder / "data").mkdir()
    for k, d in enumerate(data):
        np.save(folder / "data" / f"{k:02d}.npy", d["x"])
    given = ("--profile", folder / "p.json", "--data", folder / "data", "-o", folder / "m.qglow")
    return ["quantize", str(folder / "m.onnx"), *map(str, given)]


def test_a_target_that_float_alone_reaches_is_missed_and_its_bundle_kept(
    model: onnx.ModelProto, data: list[dict[str, np.ndarray]], profile: qglow.Profile, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = arguments(model, data, profile, tmp_path)
    assert main([*given, "--min-sqnr-db", "125"]) == 1
    said = capsys.readouterr().err
    assert "takes all nodes in float, which is the float model itself" in said and said.count("\n") == 1
    assert "wanted 125 dB" in said and not (tmp_path / "m.qglow").exists()
    kept = qglow.load(tmp_path / "m.broken.qglow")
    target = kept.manifest["target"]
    assert target["nothing_quantized"] and not target["met"] and not target["out_of_time"]
    assert {n["node"] for n in target["kept_float"]} >= {"m0", "m1", "m2", "m3"}


def test_a_mix_that_fails_is_left_out(
    model: onnx.ModelProto, data: list[dict[str, np.ndarray]], profile: qglow.Profile
) -> None:
    plain = searched(model, data, profile, QuantConfig(min_sqnr_db=40.0))
    assert plain.met and plain.account["trials"] > 1 and plain.account["failed"] == []

    def failing(every: int) -> Callable[[Quantized], Quantized]:
        def change(quantized: Quantized) -> Quantized:
            calls = [0]

            def made(mix: QuantConfig) -> QuantState:
                calls[0] += 1
                if calls[0] % every == 0:
                    raise ValueError(f"mix {calls[0]}")
                return quantized(mix)

            return made

        return change

    some = searched(model, data, profile, QuantConfig(min_sqnr_db=40.0), failing(2))
    assert some.met and some.account["failed"][0] == "ValueError: mix 2"
    assert some.account["reached"]["sqnr_db"] >= 40
    none = searched(model, data, profile, QuantConfig(min_sqnr_db=40.0), failing(1))
    assert not none.met and none.account["trials"] == 1 and none.account["failed"][0] == "ValueError: mix 1"
    assert none.account["kept_float"] == [] and none.account["reached"] == none.account["int8"]


@pytest.mark.parametrize("mixes", [0, 1, 2])
def test_the_best_so_far_is_kept_when_the_time_is_over(
    model: onnx.ModelProto, data: list[dict[str, np.ndarray]], profile: qglow.Profile, mixes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """By a clock of the test's own, each mix takes a second, and anything else next to nothing."""
    now = [0.0]

    def clock() -> float:
        now[0] += 1e-6
        return now[0]

    monkeypatch.setattr(search, "time", SimpleNamespace(monotonic=clock))

    def slow(quantized: Quantized) -> Quantized:
        def made(mix: QuantConfig) -> QuantState:
            now[0] += 1.0
            return quantized(mix)

        return made

    found = searched(model, data, profile, QuantConfig(min_sqnr_db=100.0), slow, mixes - 0.5 if mixes else 1e-9)
    account = found.account
    assert account["trials"] == mixes + 1 and account["out_of_time"] and not found.met
    assert account["reached"]["sqnr_db"] >= account["int8"]["sqnr_db"]
    assert (account["reached"]["sqnr_db"] > account["int8"]["sqnr_db"]) == (mixes > 0)


def test_the_search_begins_with_wider_formats_where_these_are_better(
    model: onnx.ModelProto, data: list[dict[str, np.ndarray]], profile: qglow.Profile
) -> None:
    config = QuantConfig(min_sqnr_db=40.0)
    enough, some = replace(config, exclude=("m0", "m1", "m2")), replace(config, int16=("x", "relu0"))
    found = searched(model, data, profile, config, wider=enough)
    assert found.met and found.account["trials"] == 2
    assert {n["node"] for n in found.account["kept_float"]} >= {"m0", "m1", "m2"} and not found.account["int16"]
    alone, further = searched(model, data, profile, config), searched(model, data, profile, config, wider=some)
    for account in (alone.account, further.account):
        assert account["met"] and account["trials"] > 2 and account["int16"]
    assert {*further.account["int16"]} >= {"x", "relu0"}
    worse = replace(config, calibration="percentile", percentile=60.0)
    assert searched(model, data, profile, config, wider=worse).account["int16"] == alone.account["int16"]


def test_time_that_is_over_after_the_target_is_met_stopped_nothing(
    model: onnx.ModelProto, data: list[dict[str, np.ndarray]], profile: qglow.Profile
) -> None:
    found = searched(model, data, profile, QuantConfig(min_sqnr_db=5.0), budget=1e-9)
    assert found.met and not found.account["out_of_time"]


def test_the_command_has_a_budget(
    model: onnx.ModelProto, profile: qglow.Profile, data: list[dict[str, np.ndarray]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = arguments(model, data, profile, tmp_path)
    given += ["--min-sqnr-db", "100"]
    assert main([*given, "--budget", "0.001s"]) == 1
    said = capsys.readouterr().err
    assert "with 0 nodes kept float" in said and "when the time was over, after 1 trial" in said
    assert qglow.load(tmp_path / "m.broken.qglow").manifest["target"]["out_of_time"]
    assert main([*given, "--budget", "soon"]) == 2
    assert "--budget" in capsys.readouterr().err


def nearness(outputs: Any, labels: Any) -> float:
    """How near y is to the labels, which are arrays: 0 at best."""
    return -float(np.mean([np.abs(o["y"] - label).mean() for o, label in zip(outputs, labels, strict=True)]))


def test_a_callable_is_the_target(
    model: onnx.ModelProto, data: list[dict[str, np.ndarray]], profile: qglow.Profile
) -> None:
    truth = [float_oracle(model, float_graph(model)).outputs(d)["y"] for d in data]
    loose, tight = (
        qglow.quantize(model, profile, check=data, target=Target(nearness, truth, drop, name="nearness"))
        for drop in (1.0, 0.002)
    )
    assert loose.manifest["target"]["kept_float"] == loose.manifest["target"]["int16"] == []
    account = tight.manifest["target"]
    assert account["met"] and (account["kept_float"] or account["int16"])
    assert account["metric"] == {"name": "nearness", "max_drop": 0.002} and account["reached"]["accuracy_drop"] is None
    judged = [qglow.InferenceSession(tight).run(None, d)[0] for d in data[1::2]]
    expected = nearness([{"y": y} for y in judged], truth[1::2])
    assert account["reached"]["metric"] == {"fp32": 0.0, "int8": pytest.approx(expected, abs=1e-6)}
    assert expected >= -0.002 and account["int8"]["metric"]["int8"] < -0.002
    page = "".join(_target(account))
    assert "nearness at most 0.002 worse than float" in page and "of float 0" in page


def test_the_sign_of_a_metric_is_the_targets(
    model: onnx.ModelProto, data: list[dict[str, np.ndarray]], profile: qglow.Profile
) -> None:
    """What grows with noise is a loss where small is good, and none where large is."""
    truth = [float_oracle(model, float_graph(model)).outputs(d)["y"] for d in data]

    def error(outputs: Any, labels: Any) -> float:
        return -nearness(outputs, labels)

    def kept(smaller_is_better: bool) -> int:
        target = Target(error, truth, 0.002, smaller_is_better)
        account = qglow.quantize(model, profile, check=data, target=target).manifest["target"]
        return len(account["kept_float"]) + len(account["int16"])

    assert kept(True) > 0 == kept(False)


def test_a_metric_out_of_reach_says_what_was_reached(
    model: onnx.ModelProto, data: list[dict[str, np.ndarray]], profile: qglow.Profile
) -> None:
    def strict(outputs: Any, labels: Any) -> float:
        return float(all(np.abs(o["y"] - label).max() < 1e-9 for o, label in zip(outputs, labels, strict=True)))

    truth = [float_oracle(model, float_graph(model)).outputs(d)["y"] for d in data]
    config = QuantConfig(include=("op:MatMul",))
    with pytest.raises(AccuracyError, match="metric at most 0 worse than float, reached .* metric 0, of float 1"):
        qglow.quantize(model, profile, config, check=data, target=Target(strict, truth))
    calls = [0]

    def fragile(outputs: Any, labels: Any) -> float:
        calls[0] += 1
        return float("nan") if calls[0] in (3, 4) else 1.0  # after those of float, on both halves of the samples

    found = qglow.quantize(model, profile, check=data, target=Target(fragile, truth)).manifest["target"]
    assert found["met"] and found["int8"]["metric"] == {"fp32": 1.0, "int8": None}


def test_a_metric_needs_samples_labels_and_a_function(
    model: onnx.ModelProto, data: list[dict[str, np.ndarray]], profile: qglow.Profile
) -> None:
    ones = Target(lambda outputs, labels: 1.0, [0] * SAMPLES)
    for error, match, options in (
        (ConfigError, "give check=samples", {"target": ones}),
        (ConfigError, "give check=samples", {"target": ones, "check": False}),
        (ConfigError, r"qglow\.metrics\.Target", {"target": nearness, "check": data}),
        (ConfigError, "one of them", {"target": ones, "check": data, "config": {"max_accuracy_drop": 1.0}}),
        (DataError, "16 labels for 3 samples", {"target": ones, "check": data[:3]}),
        (DataError, "16 labels for more samples", {"target": ones, "check": (d for d in [*data, data[0]])}),
        (ConfigError, "metric 'broken' failed: ZeroDivisionError",
         {"target": Target(lambda outputs, labels: 1 / 0, [0] * SAMPLES, name="broken"), "check": data}),
        (ConfigError, "gave nan of float", {"target": Target(lambda *_: np.nan, [0] * SAMPLES), "check": data}),
    ):  # fmt: skip
        with pytest.raises(error, match=match):
            qglow.quantize(model, profile, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="give a profile"):
        qglow.quantize(model, None, check=data, target=ones)
    for error, match, wrong in (
        (ConfigError, "function of", (None, [0])), (DataError, "labels must be", (nearness, "abc")),
        (ConfigError, "0 or more", (nearness, [0], -1.0)), (ConfigError, "max_drop", (nearness, [0], float("nan"))),
    ):  # fmt: skip
        with pytest.raises(error, match=match):
            Target(*wrong)  # type: ignore[arg-type]
    labels = (k % WIDTH for k in range(SAMPLES))
    streamed = qglow.quantize(model, profile, check=(d for d in data), target=Target(top_k("y"), labels, 1.0))
    assert streamed.manifest["target"]["met"]
