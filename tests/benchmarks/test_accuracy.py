"""The measurement of accuracy: its numbers, its samples, and that it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.accuracy import __main__ as accuracy
from bench.accuracy import made, table
from bench.accuracy.agreement import powers, summary


def test_signal_and_noise() -> None:
    true = [np.array([3.0, 4.0]), np.array([1, 2, 3])]
    assert powers(true, [np.array([3.0, 3.0]), np.array([1, 2, 4])]) == ([25.0, 3.0], [1.0, 1.0])
    assert powers(true[:1], [np.array([np.nan, 4.0])])[1] == [1e30]


def test_means_the_worst_and_the_interval() -> None:
    signal = np.array([[100.0, 10.0], [100.0, 10.0], [0.0, 0.0]])
    noise = np.array([[1.0, 1.0], [1.0, 1.0], [0.1, 0.0]])
    f = summary(signal, noise, [100.0, 100.0, 0.0])
    assert f.mean == pytest.approx(10 * np.log10(200 / 2.1) / 2 + 5)
    assert f.worst_output == pytest.approx(10) and f.low <= f.mean <= f.high
    assert f.worst_sample == pytest.approx(15)  # the silent one counts as a hundredth of the mean signal: 64 dB
    assert f.score is not None and f.score[0] == pytest.approx(200 / 3) and f.score[1] < f.score[0] < f.score[2]


def test_no_sample_calibrates_and_tests() -> None:
    for make in (made.few, made.mlp):
        model = make()
        seen = {s["image"].tobytes() for s in model.calibration}
        assert len(seen) == len(model.calibration) and seen.isdisjoint(t["image"].tobytes() for t in model.tests)
    assert len(made.few().calibration) == 3


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results.jsonl"
    common = ["--results", str(results), "--models", "mlp", "--cache", str(tmp_path / "cache"), "--methods"]
    assert accuracy.main([*common, "MinMax"]) == 0
    first = results.read_text()
    assert accuracy.main([*common, "MinMax,NNCF,default"]) == 0
    assert results.read_text().startswith(first)
    rows = list(accuracy.read(results).values())
    assert [r["method"] for r in rows] == ["MinMax", "NNCF", "default"] and rows[1]["failed"] == "Absent: absent"
    assert "default over the best peer" in capsys.readouterr().out
    worse = [{**rows[2], "noise": [[10 * n for n in ns] for ns in rows[2]["noise"]]}]
    assert "-10.00 mlp default" in table.changes(worse, rows)
