"""A session that is dropped leaves nothing behind, at once: neither memory nor threads nor descriptors wait for the
collector of cycles."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import parser

import qglow
from qglow.graph import Array
from qglow.runtime import native

RNG = np.random.default_rng(4)
FEEDS = {"x": RNG.standard_normal((1, 8, 16, 16)).astype(np.float32)}
HEAD = '<ir_version: 8, opset_import: ["": 17]> g (float[1,8,16,16] x) => '
CONV = "{ c = Conv<pads = [1, 1, 1, 1]>(x, w) "


def numbers(*shape: int) -> str:
    return ", ".join(map(str, RNG.standard_normal(shape).ravel().astype(np.float32)))


MODELS = {
    "one program": HEAD + f"(float[1,8,16,16] y) <float[8,8,3,3] w = {{{numbers(8, 8, 3, 3)}}}>" + CONV + "y = Relu(c) "
                                                                                                          "}",
    "branches": HEAD + f"(float[1,8,16,16] y) <float[8,8,3,3] w = {{{numbers(8, 8, 3, 3)}}}>" + CONV +
    """s = ReduceSum<keepdims = 0>(c) z = Constant<value_float = 0.0>() b = Greater(s, z)
       y = If(b)<then_branch = t () => (float[1,8,16,16] yt) { yt = Relu(c) },
                 else_branch = e () => (float[1,8,16,16] ye) { ye = Neg(c) }> }""",
    "stages": HEAD + f"(float[8,n] y) <float[8,8,3,3] w = {{{numbers(8, 8, 3, 3)}}}, float[8,2] m = "
                     f"{{{numbers(8, 2)}}}>" + CONV +
    "t = GlobalAveragePool(c) f = Flatten(t) z = NonZero(f) zf = Cast<to = 1>(z) y = MatMul(m, zf) }",
}  # fmt: skip


@pytest.fixture(params=list(MODELS))
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    model = parser.parse_model(MODELS[request.param])
    qglow.quantize(model, qglow.profile(model, [FEEDS])).save(tmp_path / "model.qglow")
    return tmp_path / "model.qglow"


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def runs(session: qglow.InferenceSession) -> list[Array]:
    """Outputs of three inputs: branches go both ways."""
    return [a for k in (-1, 0, 1) for a in session.run(None, {"x": FEEDS["x"] * np.float32(k)})]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.mark.parametrize("threads", [1, 2])
def test_all_goes_with_the_session(
    path: Path, threads: int, no_collector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "SMALL_WORK", 0)
    runs(qglow.InferenceSession(path, threads))  # NOTE: what a process keeps, kernels and a team, is there by now
    gc.collect()
    open_before, threads_before = descriptors(), threading.active_count()
    session = qglow.InferenceSession(path, threads)
    runs(session)
    plans = [weakref.ref(p) for p in session._cache._plans.values()]
    arrays = [weakref.ref(a) for a in session.graph.constants.values()]
    assert plans and arrays
    kept = weakref.ref(session)
    del session
    assert kept() is None and not any(r() for r in plans) and all(r() is None for r in arrays)
    assert descriptors() == open_before and threading.active_count() == threads_before
    assert gc.collect() == 0


def test_the_last_one_is_dropped_while_another_thread_runs_it(
    path: Path, no_collector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on with the right bits, and everything goes at its end."""
    monkeypatch.setattr(native, "SMALL_WORK", 0)
    expected = runs(qglow.InferenceSession(path, 2))
    for _ in range(10):
        session, started, found = qglow.InferenceSession(path, 2), threading.Event(), []
        kept = weakref.ref(session)

        def call(
            mine: list[qglow.InferenceSession], started: threading.Event = started, found: list[Array] = found
        ) -> None:
            started.set()
            for _ in range(20):
                found[:] = runs(mine[0])
            mine.clear()

        thread = threading.Thread(target=call, args=([session],))
        thread.start()
        started.wait()
        del session
        thread.join(120)
        assert not thread.is_alive() and all(map(np.array_equal, found, expected))
        end = time.monotonic() + 600
        while kept() is not None:  # NOTE: the thread's last frame may be a moment behind
            assert time.monotonic() < end
            time.sleep(0.001)


def test_a_plan_outlives_its_session(path: Path) -> None:
    """It has lost the cache of the plans that it makes, and makes them anew."""
    session = qglow.InferenceSession(path, 1)
    expected = runs(session)
    (plan,) = [p for k, p in session._cache._plans.items() if k == ((1, 8, 16, 16),)]
    name = session.graph.outputs[0]
    del session
    assert all(
        np.array_equal(plan.run({"x": FEEDS["x"] * np.float32(k)})[name], e)
        for k, e in zip((-1, 0, 1), expected, strict=True)
    )
