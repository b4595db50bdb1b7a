"""Quantization is judged by samples that calibration did not see, and says how sure it is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import qglow
from qglow.commands.main import main
from qglow.graph import Graph, GraphBuilder, float_type
from qglow.onnx_import.export_float import export_float
from qglow.report import judging
from qglow.report.comparison import Equality, Error, interval_db, sureness
from qglow.report.interval import MANY, share_interval, worse_share
from qglow.report.verdict import complaints, doubts


def skewed(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    signal = rng.lognormal(0, 0.7, count)
    return signal * rng.lognormal(-4, 0.6, count), signal


@pytest.mark.parametrize(("count", "least"), [(8, 0.85), (16, 0.88), (100, 0.9)])
def test_the_interval_holds_the_truth(count: int, least: float) -> None:
    """As often as documented, of samples whose noise and signal are skewed."""
    rng = np.random.default_rng(1)
    truth = math.exp(-4 + 0.18)  # mean of the noise over the mean of the signal, which are independent factors
    found = [share_interval(*skewed(rng, count)) for _ in range(200)]
    assert least <= np.mean([low <= truth <= high for low, high in found]) <= 0.99


def test_the_interval_of_few_samples_is_their_range() -> None:
    low, high = share_interval([1.0, 2.0, 8.0], [10.0, 10.0, 20.0])
    assert (low, high) == pytest.approx((0.1, 0.4))
    assert share_interval([0.0, 1.0], [0.0, 10.0]) == pytest.approx((0.1, 0.1))  # one could not be compared


def test_the_ratio_lies_in_its_interval() -> None:
    """Whatever samples are louder than the mean."""
    rng = np.random.default_rng(6)
    for power in (0.0, 0.5, 50.0):
        found = Error(mean_power=power)
        for _ in range(40):
            x = rng.lognormal(0, 1.0) * rng.normal(0, 1, 300)
            found.add(x, x + 0.05 * rng.normal(0, 1, 300))
        low, high = interval_db(found)
        assert low < found.sqnr_db < high and high - low < 12


def test_how_many_new_samples_may_be_worse() -> None:
    """By simulation: the worst of n samples is within the worst `worse_share` of the distribution in 95 of 100 sets."""
    rng = np.random.default_rng(2)
    for n in (4, 30):
        worst = rng.random((20000, n)).max(1)
        assert np.mean(1 - worst <= worse_share(n)) == pytest.approx(0.95, abs=0.01)


def test_an_output_that_is_almost_silent_in_a_sample_does_not_count_as_noise_alone() -> None:
    rng = np.random.default_rng(3)
    found = Error(mean_power=1.0)
    quiet = 1e-3 * rng.normal(0, 1, 1000)
    found.add(quiet, quiet + 0.03 * rng.normal(0, 1, 1000))
    assert found.sqnr_db == pytest.approx(-20 * np.log10(0.03), abs=0.3) and not complaints({"y": found}, 20.0)
    alone = Error()
    alone.add(quiet, quiet + 0.03 * rng.normal(0, 1, 1000))
    assert alone.sqnr_db < -25 and complaints({"y": alone}, 3.0)


def test_few_samples_on_both_sides_of_the_floor_are_too_few_to_tell() -> None:
    rng = np.random.default_rng(4)
    real = rng.normal(0, 1, (12, 500))
    for size, refused, unsure in ((0.05, False, False), (2.0, True, False)):
        found = Error()
        for x in real:
            found.add(x, x + size * rng.normal(0, 1, 500))
        assert (bool(complaints({"y": found}, 3.0)), bool(doubts({"y": found}, 3.0))) == (refused, unsure)
    mixed = Error()
    for k, x in enumerate(real):
        mixed.add(x, x + (1.6 if k % 3 == 0 else 0.05) * rng.normal(0, 1, 500))
    low, high = interval_db(mixed)
    assert low < 3.0 < high and not complaints({"y": mixed}, 3.0) and "3 wanted" in doubts({"y": mixed}, 3.0)["y"]
    said = sureness(mixed)
    assert said["low_db"] < said["high_db"] and said["worst_sample_db"] == pytest.approx(-4.1, abs=0.5)
    same = Equality()
    for k in range(MANY):
        same.add(np.arange(20), np.arange(20) + (np.arange(20) < k))
    assert same.to_dict()["low_db"] < 10 * np.log10(140 / 28) * 1.5 and same.to_dict()["worst_sample_db"] < 5


def growing(factor: float) -> tuple[Graph, list[dict[str, np.ndarray]]]:
    """An MLP of two layers, and samples each of which is so many times larger than the one before: what calibration saw
    of the others is not its range."""
    rng = np.random.default_rng(5)
    b = GraphBuilder()
    b.types["x"] = float_type(1, 16)
    b.fresh("x")
    w = b.add_constant("w", rng.normal(0, 1, (16, 8)).astype(np.float32))
    v = b.add_constant("v", rng.normal(0, 1, (8, 4)).astype(np.float32))
    h = b.add("Relu", (b.add("MatMul", ("x", w), float_type(1, 8), "h"),), float_type(1, 8), "r")
    y = b.add("MatMul", (h, v), float_type(1, 4), "y")
    data = [{"x": rng.normal(0, 1, (1, 16)).astype(np.float32)} for _ in range(16)]
    for k, d in enumerate(data):
        d["x"] *= np.float32(factor**k)
    return b.build("g", ("x",), (y,)), data


def test_a_small_set_is_cross_validated() -> None:
    """What calibration saw itself looks good; a sample that it did not see is cut off in 8 bits, and the judgement says
    so."""
    graph, data = growing(8.0)
    config = qglow.QuantConfig(min_agreement_sqnr_db=-200.0, widen_percent=0.0)
    agreement = qglow.quantize(graph, qglow.profile(graph, data), config).manifest["agreement"]
    assert agreement["judged_on"] == judging.CROSS_VALIDATION and agreement["samples"] == 16
    seen = qglow.quantize(graph, qglow.profile(graph, data), config, check=data).manifest["agreement"]
    assert seen["outputs"]["y"]["sqnr_db"] > agreement["outputs"]["y"]["sqnr_db"] + 10
    graph, data = growing(1.0)
    agreement = qglow.quantize(graph, qglow.profile(graph, data)).manifest["agreement"]
    assert agreement["outputs"]["y"]["sqnr_db"] > 18


def test_cross_validation_calibrates_on_the_other_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, data = growing(1.0)
    recorded, calibrated = qglow.profile(graph, data), []
    inner = judging.cross_validate

    def spied(grounds, profile_of, quantized, oracle):  # type: ignore[no-untyped-def]
        return inner(grounds, profile_of, lambda p: (calibrated.append(p), quantized(p))[1], oracle)

    monkeypatch.setattr("qglow.quantizing.cross_validate", spied)
    qglow.quantize(graph, recorded)
    assert [p.samples for p in calibrated] == [12] * 4
    for k, rest in enumerate(calibrated):
        others = np.concatenate([d["x"] for j, d in enumerate(data) if j % 4 != k])
        assert (rest.tensors["x"].min, rest.tensors["x"].max) == (others.min(), others.max())


def test_the_command_says_that_samples_are_too_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph, data = growing(8.0)
    (tmp_path / "m.onnx").write_bytes(export_float(graph, ["y"]).SerializeToString())
    np.savez(tmp_path / "d.npz", x=np.stack([d["x"] for d in data]))
    qglow.profile(tmp_path / "m.onnx", data).save(tmp_path / "p.json")
    floor = qglow.quantize(graph, qglow.profile(graph, data), {"min_agreement_sqnr_db": -200.0, "widen_percent": 0.0})
    floor = floor.manifest["agreement"]
    between = (floor["outputs"]["y"]["low_db"] + floor["outputs"]["y"]["high_db"]) / 2
    arguments = ["quantize", str(tmp_path / "m.onnx"), "--profile", str(tmp_path / "p.json"), "-o", str(tmp_path / "b")]
    assert main([*arguments, "--widen-percent", "0", "--min-agreement-sqnr-db", f"{between:.3f}"]) == 0
    printed = capsys.readouterr()
    assert "too few samples to tell whether output" in printed.err and "by cross-validation" in printed.out


def test_the_interval_holds_the_ratio_where_samples_differ_much_in_strength() -> None:
    rng, error = np.random.default_rng(3), Error()
    for power in (1e-3, 0.1, 1.0, 1.0, 2.0, 3.0, 10.0, 40.0, 90.0, 300.0):
        x = rng.normal(0, power, 200)
        error.add(x, x + rng.normal(0, 0.3 * power, 200))
    low, high = interval_db(error)
    assert low < error.sqnr_db < high < low + 8


def test_a_report_over_quiet_samples_uses_the_power_that_calibration_saw() -> None:
    """`quantize` and the report of one bundle do not contradict each other."""
    graph, data = growing(1.0)
    bundle = qglow.quantize(graph, qglow.profile(graph, data))
    quiet = [{"x": d["x"] * np.float32(0.01)} for d in data]
    loud = bundle.manifest["agreement"]["outputs"]["y"]["sqnr_db"]
    assert qglow.compare(graph, bundle, quiet).to_dict()["outputs"]["y"]["sqnr_db"] > loud - 3
    del bundle.manifest["profile"]["powers"]
    assert qglow.compare(graph, bundle, quiet).to_dict()["outputs"]["y"]["sqnr_db"] < loud - 10
