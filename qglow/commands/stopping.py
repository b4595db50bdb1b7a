"""Ctrl-C, and the signal that asks a process to end, while a command runs: one line, no traceback, and nothing left
behind.

Both become a KeyboardInterrupt, so that temporary files are removed and other processes ended on the way out. From then
on Ctrl-C is ignored, for the way out is short; the other signal ends the process at once if it comes again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

AGAIN = 0.01  # seconds


class Stopping:
    """What a command runs within. signal: the number of the one that came, else 0. final: the process ends with the
    command."""

    def __init__(self, final: bool) -> None:
        self.final, self.signal = final, 0
        self._kept: dict[int, Any] = {}
        self._hook = sys.unraisablehook

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
                # NOTE: else the caller has a handler, or had it ignored as nohup does
                if signal.getsignal(number) == usual:
                    self._kept[number] = signal.signal(number, self._stop)
            sys.unraisablehook = self._unraisable
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """True, so that the error ends here, where a signal caused it."""
        if signal.SIGINT in self._kept:
            # NOTE: Python prints a traceback if it is interrupted as it ends
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.signal and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self.signal:
            sys.unraisablehook = _say_nothing
            _let_go(trace)
        if not (self.signal and self.final):
            sys.unraisablehook = self._hook
        for number, kept in self._kept.items():
            if not self.final:
                signal.signal(number, kept)
        return bool(self.signal)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or number
        if _is_importing(frame) and hasattr(signal, "setitimer"):
            # NOTE: extension modules print what happens to them while they are imported, or make it another error
            self._later()
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt

    def _later(self) -> None:
        signal.signal(signal.SIGALRM, self._stop)
        signal.setitimer(signal.ITIMER_REAL, AGAIN)

    def _unraisable(self, found: Any) -> None:
        """An interrupt where it can not be raised, as in a destructor, comes again."""
        if self.signal and hasattr(signal, "setitimer"):
            self._later()
        else:
            self._hook(found)


def _say_nothing(found: Any) -> None:
    """What an interrupt left half done, an archive say, may not be able to end well."""


def _let_go(trace: TracebackType | None) -> None:
    """Drop what the frames of an error hold."""
    while trace is not None:
        with contextlib.suppress(RuntimeError):  # NOTE: of a frame that still runs
            trace.tb_frame.clear()
        trace = trace.tb_next


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


def drop_output() -> None:
    """Nobody reads what is printed, or it has no place: Python's own flush at exit must not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
