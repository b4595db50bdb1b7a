"""Work that other threads may help with. None is waited for that did not begin.

NOTE: `threading.Thread.start` waits until the new thread says that it is there. One that finds no memory to say so is
waited for forever.
"""

from __future__ import annotations

from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context


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
