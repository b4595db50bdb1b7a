"""The accuracy target: the damaging layers are found, kept float, no more of them than needed, and the command says
so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import qglow
from qglow.commands.main import main
from qglow.errors import AccuracyError, ConfigError
from qglow.graph import Graph, GraphBuilder, float_type
from qglow.graph.text import print_graph
from qglow.oracle import float_oracle
from qglow.pipeline import float_graph
from qglow.profiling import Profile, open_dataset
from qglow.quantization import QuantConfig, quantize_graph
from qglow.report.agreement import Agreement, measure
from qglow.report.comparison import Error
from qglow.report.sensitivity import find_sensitivities
from qglow.report.target import Score


def hidden_outliers() -> tuple[Graph, list[dict[str, np.ndarray]]]:
    """Values that matter lie far below a few large ones that a clamp removes afterwards: 8 bits are too few for `sum`
    alone."""
    rng = np.random.default_rng(5)
    b = GraphBuilder()
    b.types["x"] = float_type(1, 4, 8, 8)
    b.fresh("x")

    def conv(x: str, name: str) -> str:
        w = b.add_constant(f"{name}.w", rng.normal(0, 0.5, (4, 4, 1, 1)).astype(np.float32))
        return b.add("Conv", (x, w), float_type(1, 4, 8, 8), name)

    a = conv("x", "first")
    cubed = b.add("Mul", (b.add("Mul", (a, a), float_type(1, 4, 8, 8), "squared"), a), float_type(1, 4, 8, 8), "cubed")
    spread = b.add("Add", (conv("x", "second"), cubed), float_type(1, 4, 8, 8), "sum")
    ends = [b.add_constant("c", np.float32(v)) for v in (-1, 1)]
    y = conv(b.add("Clip", (conv(spread, "third"), *ends), float_type(1, 4, 8, 8), "clamped"), "last")
    data = [{"x": rng.normal(0, 1, (1, 4, 8, 8)).astype(np.float32)} for _ in range(8)]
    for k, d in enumerate(data):
        d["x"][0, :, k % 8, 0] *= 4
    return b.build("g", ("x",), (y,)), data


@pytest.fixture(scope="module")
def profile(digits: Path) -> Profile:
    return qglow.profile(digits / "model.onnx", digits, samples=32)


def test_damage_is_of_each_rounding_by_itself() -> None:
    graph, data = hidden_outliers()
    graph = float_graph(graph)
    quantized = quantize_graph(graph, qglow.profile(graph, data).matched(graph), QuantConfig()).graph
    causes = find_sensitivities(graph, quantized, QuantConfig(), open_dataset(data, graph), 5.0)
    worst = sorted(causes, key=lambda c: -float(c.noise[0]))[:2]
    assert {c.what for c in worst} == {"rounding of 'cubed'", "rounding of 'sum'"}
    total = sum(float(c.noise[0]) for c in causes)
    measured = measure(float_oracle(graph, graph), quantized, open_dataset(data, graph)).outputs["last"]
    assert measured.noise / measured.signal == pytest.approx(total, rel=0.7)


def test_the_damage_of_much_work_is_that_of_the_first_sample() -> None:
    graph, data = hidden_outliers()
    graph = float_graph(graph)
    quantized = quantize_graph(graph, qglow.profile(graph, data).matched(graph), QuantConfig()).graph
    first, alone, all_of_them = (
        find_sensitivities(graph, quantized, QuantConfig(), open_dataset(d, graph), s)
        for d, s in ((data, 0.0), (data[:1], 5.0), (data, 5.0))
    )
    assert (
        [c.noise.tolist() for c in first]
        == [c.noise.tolist() for c in alone]
        != [c.noise.tolist() for c in all_of_them]
    )


def test_only_what_is_to_blame_is_kept_float() -> None:
    graph, data = hidden_outliers()
    recorded = qglow.profile(graph, data)
    before = qglow.quantize(graph, recorded, QuantConfig(min_agreement_sqnr_db=-100.0, widen_percent=0.0), check=data)
    bundle = qglow.quantize(graph, recorded, QuantConfig(min_sqnr_db=24.0, widen_percent=0.0), check=data)
    account = bundle.manifest["target"]
    assert before.manifest["agreement"]["outputs"]["last"]["sqnr_db"] < 10 < 24 <= account["reached"]["sqnr_db"]
    kept = {k["node"] for k in account["kept_float"]}
    assert {*account["int16"]} == {"sum", "cubed"} and not kept  # 16 bits are enough for them
    precision = {d["node"]: d["precision"] for d in bundle.manifest["decisions"]}
    assert precision["sum:Add"] == "int16" and precision["last:Conv"] == "int8"


def test_a_met_target_changes_nothing(digits: Path, profile: Profile) -> None:
    bundle = qglow.quantize(digits / "model.onnx", profile, QuantConfig(min_sqnr_db=5.0))
    assert bundle.manifest["target"]["kept_float"] == []
    assert print_graph(bundle.graph) == print_graph(qglow.quantize(digits / "model.onnx", profile).graph)


def test_top1_accuracy_can_be_the_target(digits: Path, profile: Profile) -> None:
    config = QuantConfig(max_accuracy_drop=0.0, activations="int8", calibration="percentile", percentile=90.0)
    bundle = qglow.quantize(digits / "model.onnx", profile, config, check=digits)
    target = bundle.manifest["target"]
    assert target["int8"]["accuracy_drop"] > 0 >= target["reached"]["accuracy_drop"]
    assert target["kept_float"] or target["int16"]
    result = qglow.compare(digits / "model.onnx", bundle, digits).to_dict()["outputs"]["scores"]
    assert result["top1_int8"] >= result["top1_fp32"]


def test_a_target_out_of_reach_says_what_was_reached(digits: Path, profile: Profile) -> None:
    with pytest.raises(AccuracyError, match=r"wanted 90 dB, reached \d+\.?\d* dB with \d+ nodes kept float") as caught:
        qglow.quantize(digits / "model.onnx", profile, QuantConfig(min_sqnr_db=90.0, include=("op:Conv",)))
    assert caught.value.bundle.manifest["target"]["met"] is False  # type: ignore[attr-defined]


def test_targets_need_samples_and_labels(digits: Path, profile: Profile) -> None:
    without = Profile(profile.graph, profile.tensors, profile.samples, profile.data)
    with pytest.raises(ConfigError, match="needs samples"):
        qglow.quantize(digits / "model.onnx", without, QuantConfig(min_sqnr_db=20.0))
    with pytest.raises(ConfigError, match=r"labels\.csv"):
        qglow.quantize(digits / "model.onnx", profile, QuantConfig(max_accuracy_drop=1.0))
    with pytest.raises(ConfigError, match="min_sqnr_db must be 0 to 200"):
        QuantConfig(min_sqnr_db=-1.0)


def test_the_command_names_layers_and_cost(
    digits: Path, profile: Profile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile.save(tmp_path / "p.json")
    arguments = [
        "quantize",
        str(digits / "model.onnx"),
        "--profile",
        str(tmp_path / "p.json"),
        "-o",
        str(tmp_path / "d.qglow"),
    ]
    assert main([*arguments, "--min-sqnr-db", "45"]) == 0
    printed, warned = capsys.readouterr()
    assert "target reached, by too few samples to tell" in printed and "target met" not in printed
    assert "ms a sample became" in printed and "rounding of" in printed
    assert re.search(r"too few samples to tell .*: 4[56].* dB, the worst sample 4[0-4].* dB, on 32 samples", warned)
    assert main([*arguments, "--min-sqnr-db", "20"]) == 0
    assert "target met: " in (done := capsys.readouterr()).out and "too few" not in done.err
    (tmp_path / "q.toml").write_text("min_sqnr_db = 90\ninclude = ['op:Conv']\n")
    (tmp_path / "d.qglow").unlink()
    assert main([*arguments, "--config", str(tmp_path / "q.toml")]) == 1
    error = capsys.readouterr().err
    assert "target missed" in error and error.count("\n") == 1 and not (tmp_path / "d.qglow").exists()


@pytest.mark.parametrize(
    ("noises", "unseen", "likely", "sure"),
    [
        ([1e-3] * 14, True, True, True),
        ([1e-3] * 13, True, True, False),  # NOTE: 0.21 of new samples may be worse
        ([1e-3] * 14, False, True, False),
        ([1e-4] * 19 + [2e-2], True, True, False),  # 29 dB in all, and one sample of 17
        ([5e-3] * 7 + [1.4e-2] * 7, True, False, False),  # 20 dB in all, with less in the interval
        ([5e-3, 1.4e-2], True, True, False),
    ],
)
def test_few_samples_or_a_noisy_one_are_not_sure(noises: list[float], unseen: bool, likely: bool, sure: bool) -> None:
    found, config = Agreement(outputs={"y": Error()}, samples=len(noises)), QuantConfig(min_sqnr_db=20.0)
    for noise in noises:
        found.outputs["y"].add(np.ones(4), np.ones(4) + np.sqrt(noise))
    score = Score(found, unseen=unseen)
    assert score.meets(config) and (score.is_likely(config), score.is_sure(config)) == (likely, sure)
