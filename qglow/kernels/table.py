"""The kernels that exist: a decorated function is compiled, linked into the library, and selected by its instruction's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

KERNELS: dict[str, Callable[..., Any]] = {}


def kernel(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a numba function (instruction, arena, constants, thread, threads), five int64, as the kernel of an instruction."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        KERNELS[name] = function
        return function

    return register
