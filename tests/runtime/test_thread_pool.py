"""Threads that share programs: nothing is lost when they sleep, when callers meet, or after a fork."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qglow
from qglow.kernels.library import load
from qglow.runtime import native, thread_pool

HANGS = 600  # seconds after which what waits is taken to hang, on a machine that is as busy as can be


@pytest.fixture
def bundle(digits: Path, monkeypatch: pytest.MonkeyPatch) -> qglow.Bundle:
    monkeypatch.setattr(native, "SMALL_WORK", 0)
    return qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", digits, samples=8))


def image(bundle: qglow.Bundle) -> dict[str, Any]:
    shape = [d if isinstance(d, int) else 1 for d in bundle.graph.types["image"].shape or ()]
    return {"image": np.random.default_rng(0).random(shape, np.float32)}


@pytest.mark.parametrize("threads", [2, 3])
def test_runs_that_follow_each_other_and_runs_after_a_rest(bundle: qglow.Bundle, threads: int) -> None:
    x = image(bundle)
    expected = qglow.InferenceSession(bundle, 1).run(None, x)
    session = qglow.InferenceSession(bundle, threads)
    for pause in (0.0, 0.0, 0.0005, 0.002, 0.05) * 20:
        time.sleep(pause)
        for _ in range(5):
            assert all(np.array_equal(a, b) for a, b in zip(session.run(None, x), expected, strict=True))


def test_two_callers_at_once(bundle: qglow.Bundle) -> None:
    x = image(bundle)
    expected = qglow.InferenceSession(bundle, 1).run(None, x)
    wrong: list[int] = []

    def call() -> None:
        session = qglow.InferenceSession(bundle, 2)
        for k in range(300):
            if not all(np.array_equal(a, b) for a, b in zip(session.run(None, x), expected, strict=True)):
                wrong.append(k)

    callers = [threading.Thread(target=call) for _ in range(3)]
    for c in callers:
        c.start()
    for c in callers:
        c.join(HANGS)
    assert not wrong and not any(c.is_alive() for c in callers)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_makes_its_own_threads(bundle: qglow.Bundle) -> None:
    x, session = image(bundle), qglow.InferenceSession(bundle, 2)
    expected = session.run(None, x)
    child = os.fork()
    if child == 0:
        same = all(np.array_equal(a, b) for a, b in zip(session.run(None, x), expected, strict=True))
        os._exit(0 if same else 1)
    for _ in range(20 * HANGS):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.05)
    os.kill(child, 9)
    pytest.fail("the forked process hangs")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_a_caller_that_is_held_to_one_cpu_works_alone() -> None:
    """A team of threads on one CPU would be slow for good; it is made once the caller is free."""
    library, cpus = load(), os.sched_getaffinity(0)
    kept = dict(thread_pool._POOLS)
    thread_pool._POOLS.clear()
    try:
        os.sched_setaffinity(0, {min(cpus)})
        assert thread_pool.pool_of(library, 2) is None and not thread_pool._POOLS
        os.sched_setaffinity(0, cpus)
        made = thread_pool.pool_of(library, 2)
        assert made is not None and thread_pool.pool_of(library, 2) is made
    finally:
        os.sched_setaffinity(0, cpus)
        thread_pool._POOLS.clear()
        thread_pool._POOLS.update(kept)
