"""The usual floating point mode (round to nearest even, denormals kept) for work outside of kernels, whatever mode the
caller's thread has.

Other libraries leave threads with denormals flushed to zero, or with another rounding; numpy computes in the mode that
it finds. Native functions see to it themselves (kernels/build.py). Threads that are made within the usual mode have it
too.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
# more than any system's fenv_t. NOTE: one type, for such a type is freed by the collector alone
Environment = ctypes.c_char * 256
_Functions = tuple[Callable[[Any], int], Callable[[Any], int], Any]


@cache
def _functions() -> _Functions | None:
    """C's fegetenv and fesetenv, and what the second takes for the usual mode; None where they are not found."""
    if sys.platform not in ("linux", "darwin"):
        return None
    try:
        c: Any = (
            ctypes.PyDLL(None)
            if sys.platform == "darwin" or hasattr(ctypes.PyDLL(None), "fesetenv")
            else ctypes.PyDLL("libm.so.6")
        )
        usual = (
            ctypes.byref(ctypes.c_char.in_dll(c, "_FE_DFL_ENV")) if sys.platform == "darwin" else ctypes.c_void_p(-1)
        )
        return c.fegetenv, c.fesetenv, usual
    except (AttributeError, OSError, ValueError):
        return None


class UsualMode:
    """A context: the usual mode inside, the caller's again behind it."""

    __slots__ = ("_kept",)

    def __enter__(self) -> None:
        functions = _functions()
        if functions is not None:
            self._kept = Environment()
            functions[0](self._kept)
            functions[1](functions[2])

    def __exit__(self, *_: object) -> None:
        functions = _functions()
        if functions is not None:
            functions[1](self._kept)


def in_usual_mode(function: Callable[P, R]) -> Callable[P, R]:
    """The function, run in the usual mode."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with UsualMode():
            return function(*args, **kwargs)

    return run
