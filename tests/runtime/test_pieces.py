"""Work cut into pieces has the same bits whoever computes them: no helper at all, late ones, interrupted callers, freed
plans."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qglow import InferenceSession
from qglow.graph import Graph
from qglow.graph.text import parse_graph
from qglow.instructions.program import Instruction
from qglow.reference import evaluate
from qglow.runtime import native, pieces, thread_pool
from qglow.runtime.step_profile import plan_of

CASES = [
    p
    for p in sorted((Path(__file__).parents[1] / "instructions" / "cases").glob("*.txt"))
    if not p.name.startswith("error_")
]
HANGS = 600  # seconds after which what waits is taken to hang, on a machine that is as busy as can be
BUSY, UNTIL, BACKOFF, SLEEPERS = 0, 5, 6, 24  # words of a team, see kernels/thread_pool.py


def graph_of(path: Path) -> Graph:
    return parse_graph(path.read_text().partition("; gives\n")[0].partition("; program\n")[0])


def feeds_of(graph: Graph) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    found = {}
    for name in graph.inputs:
        t = graph.types[name]
        random = rng.integers(0, 256, t.static_shape) if t.dtype.numpy == np.uint8 else rng.normal(0, 2, t.static_shape)
        found[name] = random.astype(t.dtype.numpy)
    return found


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_what_a_schedule_says(threads: int) -> None:
    """Word by word, as a pool reads it: every piece once, with the pieces up to the end of its phase and where the next
    phase stands."""
    rng = np.random.default_rng(threads)
    for rows in (1, 2, 9, 40):
        counts, barriers = rng.integers(1, 2 * threads, rows), rng.integers(0, 2, rows)
        starts = np.arange(rows, dtype=np.int64) * 1000
        made = pieces.Schedule(starts, counts << 8 | barriers, threads)
        phase_of = [int(barriers[:k].sum()) for k in range(rows)]
        total, _, _, _, _, _, _, first, *lists = made._words.tolist()
        assert total == counts.sum() and made.address == made._words.ctypes.data and made.fits
        seen: list[tuple[int, int]] = []
        for owner, at in enumerate(lists):
            assert at == made._lists[owner].ctypes.data
            for start, piece, end, following in made._lists[owner].reshape(-1, pieces.PIECE).tolist():
                row = start // 1000
                assert piece * threads // counts[row] == owner
                assert end == sum(c for c, p in zip(counts, phase_of, strict=True) if p <= phase_of[row])
                next_phase = first + 8 * (threads + 2) * (phase_of[row] + 1)
                assert following == (0 if phase_of[row] == phase_of[-1] else next_phase)
                seen.append((row, piece))
        assert sorted(seen) == [(k, p) for k in range(rows) for p in range(counts[k])]
        for k, (all_of_it, owners, *each) in enumerate(made._phases.tolist()):
            shares = [sum(phase_of[s // 1000] == k for s in one[:: pieces.PIECE].tolist()) for one in made._lists]
            assert each == shares and all_of_it == sum(shares) and owners == sum(map(bool, shares))


class NeverStarted(threading.Thread):
    """A helper that the system never gives a CPU."""

    def start(self) -> None:
        pass


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every instruction in as many pieces as there are threads, and teams of this test's own."""
    monkeypatch.setattr(native, "SMALL_WORK", 0)
    kept = dict(thread_pool._POOLS)
    thread_pool._POOLS.clear()
    yield
    thread_pool._POOLS.clear()
    thread_pool._POOLS.update(kept)


def check(session: InferenceSession, graph: Graph, feeds: dict[str, Any], runs: int = 3) -> None:
    want = evaluate(graph, feeds)
    for _ in range(runs):
        for name, got in zip(graph.outputs, session.run(None, feeds), strict=True):
            assert got.dtype == want[name].dtype and np.array_equal(got, want[name], equal_nan=got.dtype.kind == "f"), (
                name
            )


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_any_number_of_pieces(path: Path, split: None, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(path)
    feeds = feeds_of(graph)
    for threads in (2, 3):
        for count in (1, 2, 3, 5, 16):
            monkeypatch.setattr(native, "pieces", lambda *_, count=count: count)
            check(InferenceSession(graph, threads), graph, feeds)


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_helpers_that_never_come(path: Path, split: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool.threading, "Thread", NeverStarted)
    graph = graph_of(path)
    for threads in (2, 3, 8):
        check(InferenceSession(graph, threads), graph, feeds_of(graph))


@pytest.fixture
def wide() -> Graph:
    return graph_of(next(p for p in CASES if p.stem == "depthwise"))


def test_a_team_that_is_busy_or_was_of_no_use(wide: Graph, split: None) -> None:
    session, feeds = InferenceSession(wide, 2), feeds_of(wide)
    check(session, wide, feeds)
    words = thread_pool._POOLS[2]._words
    words[BUSY] = 1
    before = words.copy()
    check(session, wide, feeds)
    changed = set(np.flatnonzero(words != before)) - {SLEEPERS}  # NOTE: a helper may fall asleep meanwhile
    assert not changed, "a caller that does not have the team changes it"
    words[BUSY], words[BACKOFF] = 0, 1 << 60
    words[UNTIL] = 1 << 60
    check(session, wide, feeds)
    words[BACKOFF] = words[UNTIL] = 0
    check(session, wide, feeds)


def test_a_clock_that_was_set_back_does_not_keep_the_helpers_away(wide: Graph, split: None) -> None:
    session, feeds = InferenceSession(wide, 2), feeds_of(wide)
    check(session, wide, feeds)
    words = thread_pool._POOLS[2]._words
    words[UNTIL], words[BACKOFF], generation = 1 << 60, 1000, int(words[1])
    check(session, wide, feeds, 1)
    assert int(words[1]) != generation


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be held to a CPU here")
def test_threads_that_share_one_cpu_with_others(wide: Graph, split: None) -> None:
    """Whoever has the CPU loses it anywhere, also in the middle of a piece; and between runs helpers fall asleep."""
    session, feeds, stop = InferenceSession(wide, 3), feeds_of(wide), threading.Event()
    check(session, wide, feeds)
    cpus, rng = os.sched_getaffinity(0), np.random.default_rng(0)
    end = time.monotonic() + 600
    while len(thread_pool._POOLS[3].helpers) < 2:  # NOTE: a run does not wait for them
        assert time.monotonic() < end
        time.sleep(0.001)
    ours = [*thread_pool._POOLS[3].helpers, threading.get_native_id()]

    def compete() -> None:
        while not stop.is_set():
            np.sort(np.arange(50_000)[::-1])

    other = threading.Thread(target=compete)
    other.start()
    try:
        for thread in (*ours, other.native_id):
            os.sched_setaffinity(thread or 0, {min(cpus)})
        for _ in range(60):
            time.sleep(float(rng.choice([0, 0, 1e-4, 1e-3])))
            check(session, wide, feeds)
    finally:
        stop.set()
        other.join()
        for thread in ours:
            os.sched_setaffinity(thread or 0, cpus)


def test_plans_that_are_gone_when_a_helper_wakes(split: None) -> None:
    graphs = [graph_of(p) for p in CASES[:12]]
    feeds = [feeds_of(g) for g in graphs]
    for turn in range(8):
        for graph, fed in zip(graphs, feeds, strict=True):
            check(InferenceSession(graph, 2 + turn % 2), graph, fed, 1)
        gc.collect()


def test_two_sessions_from_two_threads(wide: Graph, split: None) -> None:
    feeds, wrong = feeds_of(wide), []

    def call() -> None:
        try:
            check(InferenceSession(wide, 2), wide, feeds, 300)
        except BaseException as error:
            wrong.append(error)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for c in callers:
        c.start()
    for c in callers:
        c.join(HANGS)
    assert not wrong and not any(c.is_alive() for c in callers)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_interrupted_runs_leave_the_team_whole(wide: Graph, split: None) -> None:
    session, feeds = InferenceSession(wide, 2), feeds_of(wide)
    check(session, wide, feeds)
    fired = interrupted = 0

    def interrupt(*_: object) -> None:
        nonlocal fired
        fired += 1
        raise KeyboardInterrupt

    kept = signal.signal(signal.SIGALRM, interrupt)
    try:
        for k in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, 2e-5 * (1 + k))
                while fired == k:
                    session.run(None, feeds)
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, kept)
    assert fired == 60 and interrupted > 50  # NOTE: one that comes within a finalizer is lost by Python
    assert thread_pool._POOLS[2]._words[BUSY] == 0
    check(session, wide, feeds)


def test_schedules_hold_each_piece_once(split: None) -> None:
    for path in CASES:
        session = InferenceSession(graph_of(path), 3)
        plan = plan_of(session, feeds_of(session.graph))
        for segment in getattr(plan, "_steps", ()):
            if isinstance(segment, native.Segment):
                rows = {r.ctypes.data: int(r[1]) >> 8 for r in segment.rows}
                assert segment._tables is not None
                found = sorted(
                    (int(p[0]), int(p[1])) for one in segment._tables._lists for p in one.reshape(-1, pieces.PIECE)
                )
                assert found == sorted((row, k) for row, count in rows.items() for k in range(count))


def test_the_number_of_pieces_follows_from_the_work() -> None:
    fields = dict.fromkeys(("N", "H", "W", "KH", "runs", "run", "G"), 1)
    for channels, expected in ((10, 1), (100_000, 4)):
        assert pieces.pieces(Instruction("conv2d", {}, {}, {**fields, "C": channels}), 4, 50_000) == expected
    assert pieces.pieces(Instruction("copy", {}, {}, {**fields, "C": 100_000}), 1, 50_000) == 1


def test_a_segment_with_more_pieces_than_a_team_counts(
    monkeypatch: pytest.MonkeyPatch, wide: Graph, split: None
) -> None:
    monkeypatch.setattr(pieces, "MOST_PIECES", 0)
    session = InferenceSession(wide, 2)
    check(session, wide, feeds_of(wide))
    steps: Any = plan_of(session, feeds_of(wide))._steps  # type: ignore[attr-defined]
    assert any(s.schedule is None for s in steps if isinstance(s, native.Segment))


if sys.platform == "linux":

    def test_helpers_sleep_when_there_is_nothing_to_do(wide: Graph, split: None) -> None:
        session = InferenceSession(wide, 2)
        check(session, wide, feeds_of(wide))
        for _ in range(100 * HANGS):
            if int(thread_pool._POOLS[2]._words[24]) == 1:  # the word that counts sleepers
                return
            time.sleep(0.01)
        pytest.fail("a helper that has nothing to do does not sleep")
