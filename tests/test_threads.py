"""Work that other threads may help with, when they come, come late, fail, or never come."""

from __future__ import annotations

import threading
import time

import pytest

from qglow import threads
from qglow.threads import helped, side_by_side


def squares(helpers: int) -> list[int]:
    left, found = iter(range(200)), []

    def work() -> None:
        for k in left:
            time.sleep(1e-5)
            found.append(k * k)

    helped(work, helpers)
    return sorted(found)


@pytest.mark.parametrize("helpers", [0, 1, 3, 20])
def test_all_is_done_once(helpers: int) -> None:
    assert squares(helpers) == [k * k for k in range(200)]


def test_those_that_never_come_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "start_new_thread", lambda *_: None)
    assert len(squares(3)) == 200


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_where_there_are_no_more_threads(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(threads, "start_new_thread", refuse)
    assert len(squares(3)) == 200 and not threads.start(lambda: None)


def test_one_that_comes_late_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    late = []
    monkeypatch.setattr(threads, "start_new_thread", lambda work, _: late.append(work))
    calls = []
    helped(lambda: calls.append(1), 2)
    for work in late:
        work()
    assert len(late) == 2 and len(calls) == 1


@pytest.mark.parametrize("error", [ValueError("of a helper"), SystemExit(3), KeyboardInterrupt()])
def test_the_error_of_a_helper_is_raised(error: BaseException) -> None:
    caller, came = threading.get_ident(), threading.Event()

    def work() -> None:
        if threading.get_ident() == caller:
            assert came.wait(60)
            return
        came.set()
        raise error

    with pytest.raises(type(error)) as found:
        helped(work, 1)
    assert found.value is error


def test_an_interrupt_of_the_caller_waits_for_nobody() -> None:
    caller, came, told = threading.get_ident(), threading.Event(), threading.Event()

    def work() -> None:
        if threading.get_ident() == caller:
            assert came.wait(60)
            raise KeyboardInterrupt
        came.set()
        told.wait(60)

    with pytest.raises(KeyboardInterrupt):
        helped(work, 1)
    told.set()


def test_side_by_side_keeps_the_order() -> None:
    def slow_at_first(k: int) -> int:
        time.sleep(1e-3 if k % 5 == 0 else 0)
        return k * k

    assert list(side_by_side(slow_at_first, iter(range(50)))) == [(k, k * k) for k in range(50)]
    assert list(side_by_side(slow_at_first, [])) == []


def test_side_by_side_raises_the_first_error_after_what_is_before_it() -> None:
    def work(k: int) -> int:
        if k in (7, 9):
            raise ValueError(str(k))
        return k

    found = []
    with pytest.raises(ValueError, match="7"):
        for k, _ in side_by_side(work, range(20)):
            found.append(k)
    assert found == list(range(7))
