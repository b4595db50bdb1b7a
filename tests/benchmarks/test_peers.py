"""The benchmark's own arithmetic, and one small network through every runtime that is installed."""

from __future__ import annotations

import os
import signal
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import qglow
from bench.isolated import Crash, Say, isolated
from bench.models.mlp import mlp
from bench.peers import geomeans, measure
from bench.prepared import prepare
from qglow.report import latency
from qglow.report.latency import interleaved
from qglow.runtime.step_profile import host_steps, time_steps


def _row(own: float, **peers: float) -> dict[str, object]:
    return {"times": {n: {"min": t, "median": 2 * t} for n, t in {"qglow": own, **peers}.items()}}


def test_a_failed_peer_is_left_out_of_the_mean() -> None:
    rows = [_row(1.0, a=2.0, b=4.0), _row(8.0, a=1.0), {"times": {"a": {"min": 1.0, "median": 1.0}}}]
    assert geomeans(rows, ("a", "b", "c"), "min") == pytest.approx({"a": 2.0, "b": 0.25})


def test_interleaved_takes_turns_and_repeats_short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(perf_counter=map((1e-6).__mul__, count()).__next__)  # a microsecond between two looks at it
    monkeypatch.setattr(latency, "time", clock)
    calls: list[str] = []
    times = interleaved({"x": lambda: calls.append("x"), "y": lambda: calls.append("y")}, seconds=5, turns=3)
    assert times["x"]["runs"] == times["y"]["runs"] == 60  # 3 turns of 20 timed calls
    turn = ["x"] * 21 + ["y"] * 21  # one more warms the caches
    assert calls == ["x"] * 2 + ["y"] * 2 + turn * 3


def test_a_network_through_the_runtimes_and_from_the_cache(tmp_path: Path) -> None:
    model = prepare("mlp", tmp_path)
    row = measure(lambda doing: None, model, 1, ("ort fp32", "ort int8"), turns=1, seconds=1)
    assert not row["failed"] and set(row["times"]) == {"qglow", "ort fp32", "ort int8"} and row["steps"] > 3
    made = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    again = prepare("mlp", tmp_path)
    again.bundle()
    again.qdq()
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == made


def test_a_crash_of_a_child_names_what_it_did() -> None:
    def work(say: Say, last: str) -> int:
        say(last)
        os.kill(os.getpid(), signal.SIGKILL) if last == "crash" else None
        return len(last)

    assert isolated(work, "fine") == 4
    with pytest.raises(Crash, match="SIGKILL") as caught:
        isolated(work, "crash")
    assert caught.value.doing == "crash"


def test_the_steps_of_a_program_are_timed_one_by_one(tmp_path: Path) -> None:
    x = {"input": np.random.default_rng(0).normal(0, 1, (1, 784)).astype(np.float32)}
    session = qglow.InferenceSession(qglow.quantize(mlp(), qglow.profile(mlp(), [x])), 1)
    before = session.run(None, x)
    steps = time_steps(session, x, repeats=1)
    assert all(s.seconds > 0 for s in steps) and [s.index for s in steps] == list(range(len(steps)))
    products = [s for s in steps if s.kind == "conv2d"]
    assert [s.ops for s in products] == [2 * 784 * 1024, 2 * 1024 * 1024, 2 * 1024 * 512, 2 * 512 * 10]
    assert all(s.moved >= s.ops // 2 for s in products)  # every weight is read
    assert sum(host_steps(session, x).values()) == sum(s.host for s in steps)
    assert np.array_equal(before[0], session.run(None, x)[0])
