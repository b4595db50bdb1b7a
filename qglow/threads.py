"""Work that other threads may help with. None is waited for that did not begin.

NOTE: `threading.Thread.start` waits until the new thread says that it is there. One that finds no memory to say so is
waited for forever.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
MOST_LANES, TURNS = 4, 4  # items at once; of these, how often each thread takes one before all wait for each other


def start(work: Callable[[], None]) -> bool:
    """Start a thread that ends with the process at the latest; False where the system gives no more threads."""
    with suppress(RuntimeError, MemoryError):
        start_new_thread(work, ())
        return True
    return False


class _Helper:
    """A thread that may come. Nothing here takes memory once it was made."""

    def __init__(self) -> None:
        self.came, self.gone = False, allocate_lock()
        self.context = copy_context()
        self.error: BaseException | None = None
        self.gone.acquire()


def helped(work: Callable[[], None], helpers: int) -> None:
    """Call work here and, at the same time, in as many other threads as come of so many; return when all that came are
    done.

    What holds here holds there: the limits of `qglow.limited`, and all other context variables.

    work takes what is left to do, so that it is the same however many call it. Raises the first error that a call ended
    with; one here, as an interrupt, without waiting for the others.
    """
    guard, closed = allocate_lock(), [False]
    made = [_Helper() for _ in range(helpers)]

    def help_with(helper: _Helper) -> None:
        with guard:
            if closed[0]:
                return
            helper.came = True
        try:
            helper.context.run(work)
        except BaseException as error:
            helper.error = error
        finally:
            helper.gone.release()

    for helper in made:
        if not start(lambda helper=helper: help_with(helper)):  # type: ignore[misc]
            break
    try:
        work()
    finally:
        with guard:
            closed[0] = True
    for helper in made:
        if helper.came:
            with helper.gone:
                pass
            if helper.error is not None:
                raise helper.error


def lanes() -> int:
    """How many items are worth to be worked on at once."""
    return min(MOST_LANES, len(os.sched_getaffinity(0)))


def side_by_side(work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """Every item with what work makes of it, in the order of the items, several at once. Raises the error of the first
    item that has one, after those before it were yielded."""
    rest = iter(items)
    while group := dict(enumerate(islice(rest, TURNS * lanes()))):
        made: dict[int, R] = {}
        errors: dict[int, Exception] = {}
        left = iter(range(len(group)))

        def take(group: dict[int, T], left: Iterator[int], made: dict[int, R], errors: dict[int, Exception]) -> None:
            for k in left:
                if errors:
                    return
                try:
                    made[k] = work(group[k])
                except Exception as error:
                    errors[k] = error

        helped(lambda: take(group, left, made, errors), min(lanes(), len(group)) - 1)
        for k in range(len(group)):
            if k in errors:
                raise errors[k]
            yield group.pop(k), made.pop(k)
