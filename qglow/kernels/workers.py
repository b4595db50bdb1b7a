"""Work shared out to forked processes. None outlives its parent, and none is waited for that has died."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

Work = Callable[[str], Any]
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def die_with(parent: int) -> None:
    """Have Linux end this process when its parent ends, and end now where that is gone already."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def shared_out(work: Work, items: Sequence[str], processes: int) -> Iterator[Any]:
    """work(item) of every item, as they are done. Raises RuntimeError with what a process says that fails, or died
    of."""
    if processes < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(work, items)
        return
    context, left, busy = multiprocessing.get_context("fork"), list(reversed(items)), {}
    try:
        for _ in range(min(processes, len(items))):
            ours, theirs = context.Pipe()
            child = context.Process(target=_serve, args=(theirs, work, os.getpid()), daemon=True)
            busy[ours] = child
            child.start()
            theirs.close()
            _give(ours, child, left.pop())
        while busy:
            for pipe in wait(list(busy)):
                yield _answer(pipe, busy[pipe])
                if left:
                    _give(pipe, busy[pipe], left.pop())
                else:
                    busy.pop(pipe).kill()
    finally:
        for child in busy.values():
            child.kill()


def _give(pipe: Any, child: Any, item: str) -> None:
    try:
        pipe.send(item)
    except OSError:
        raise _died(child) from None


def _answer(pipe: Any, child: Any) -> Any:
    try:
        done, answer = pipe.recv()
    except (EOFError, OSError):
        raise _died(child) from None
    if not done:
        raise RuntimeError(answer)
    return answer


def _died(child: Any) -> RuntimeError:
    child.join()
    return RuntimeError(f"a process that compiles died (exit code {child.exitcode}); there may be too little memory")


def _serve(pipe: Connection, work: Work, parent: int) -> None:
    """A process's life: items come, answers go."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # NOTE: the parent ends it
    while True:
        item = pipe.recv()
        try:
            answer = True, work(item)
        except Exception as error:
            answer = False, f"{type(error).__name__}: {error}"
        pipe.send(answer)
