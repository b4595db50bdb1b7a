"""The kernels that exist: a decorated function is compiled, linked into the library, and selected by its instruction's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

KERNELS: dict[str, Callable[..., Any]] = {}


def kernel(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a numba function (instruction, worker, constants, thread, threads), five int64, as the kernel of an instruction.

    It computes piece `thread` of `threads`; worker: the number of the thread that does, by which it finds its own part of the scratch.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        KERNELS[name] = function
        return function

    return register
