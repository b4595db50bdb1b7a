"""Times of calls: as many as the time allows, and a word where they are noise."""

from __future__ import annotations

import time

import pytest

from qglow.commands.bench import print_times
from qglow.report.latency import interleaved


def test_the_time_is_used_and_obeyed() -> None:
    start = time.perf_counter()
    found = interleaved({"a": lambda: time.sleep(1e-4)}, 0.3, most=100_000, least=1)
    assert 0.25 < time.perf_counter() - start < 1.5 and found["a"]["runs"] > 200
    start = time.perf_counter()
    found = interleaved({"a": lambda: time.sleep(0.2)}, 0.1, least=1)
    assert time.perf_counter() - start < 1.5 and found["a"]["runs"] == 1


def test_a_median_far_from_the_minimum_is_noisy(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {"qglow int8": {"min": 1.0, "median": 1.1, "p99": 9.0}, "other": {"min": 1.0, "median": 2.2, "p99": 9.0}}
    print_times(rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].endswith("2.00") and lines[3] == "noisy: other" and max(map(len, lines)) <= 80
    print_times({"qglow int8": rows["qglow int8"]})
    assert "noisy" not in capsys.readouterr().out


def test_the_clock_is_the_one_that_is_given() -> None:
    """Processor time does not count a sleep."""
    found = interleaved({"a": lambda: time.sleep(0.02)}, 0.1, turns=2, clock=time.process_time)
    assert 0 <= found["a"]["min"] < 15
