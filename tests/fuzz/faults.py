"""Faults made on purpose, by which the fuzzer itself is tested: each must be seen as what it is."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qglow.errors import QGlowError

from .array_files import MARKER
from .engines import Wrong

KEPT_OPEN: list[object] = []


def crash() -> str:
    os.kill(os.getpid(), signal.SIGSEGV)
    return "ran"


def hang() -> str:
    while True:
        pass


def leak() -> str:
    KEPT_OPEN.append(Path("/dev/null").open())  # noqa: SIM115
    return "ran"


def memory() -> str:
    np.zeros(5 << 28, np.uint8)[::4096] = 1
    return "ran"


def internal() -> str:
    raise KeyError("x")


def message() -> str:
    error = QGlowError("")
    error.args = ("x" * 600,)
    raise error


def terminal() -> str:
    error = QGlowError("")
    error.args = ("a \x1b[31m b",)
    raise error


def wrong() -> str:
    raise Wrong("other bits")


def pickle() -> str:
    MARKER.touch()
    return "ran"


def refused() -> str:
    raise QGlowError("no")


FAULTS: dict[str, Callable[[], str]] = {
    f.__name__: f for f in (crash, hang, leak, memory, internal, message, terminal, wrong, pickle, refused)
}
