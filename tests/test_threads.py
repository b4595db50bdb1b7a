"""Work that other threads may help with, when they come, come late, fail, or never come."""

from __future__ import annotations

import threading
import time

import pytest

from qglow import threads
from qglow.threads import helped


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
