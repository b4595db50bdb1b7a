"""Call a function in a child process that may crash: a runtime that takes its process down is a result too."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

Say = Callable[[str], None]


class Crash(RuntimeError):
    """A child that died. doing: what it said last."""

    def __init__(self, doing: str, code: int) -> None:
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        super().__init__(f"the process died of {name}")
        self.doing = doing


def isolated(function: Callable[..., Any], *arguments: Any) -> Any:
    """function(say, *arguments) in a forked child; say names what it does now. Raises Crash where the child dies."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_run, args=(theirs, function, arguments))
    child.start()
    theirs.close()
    doing = "starting"
    try:
        while True:
            kind, value = ours.recv()
            if kind == "result":
                return value
            if kind == "error":
                raise RuntimeError(value)
            doing = value
    except EOFError:
        child.join()
        raise Crash(doing, child.exitcode or 0) from None
    finally:
        child.join()


def _run(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        result = function(lambda doing: pipe.send(("doing", doing)), *arguments)
    except Exception as error:
        pipe.send(("error", f"{type(error).__name__}: {error}"))
        return
    pipe.send(("result", result))
