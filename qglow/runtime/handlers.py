"""Errors that a signal handler raised: they come up in the middle of other work, and are not its errors."""

from __future__ import annotations

import sys
from functools import partial
from types import CodeType, FunctionType, MethodType


def of_a_signal_handler(error: BaseException) -> bool:
    """Whether an error was raised within one of the functions that handle signals now.

    NOTE: who gave a signal a function has imported `signal`; where nobody did, it is not imported for this.
    """
    signal = sys.modules.get("signal")
    if signal is None:
        return False
    codes = {code for number in signal.valid_signals() if (code := _code_of(signal.getsignal(number))) is not None}
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _code_of(handler: object) -> CodeType | None:
    """The code of a function, a method, a part of one, or an object that can be called."""
    while isinstance(handler, partial):
        handler = handler.func
    if not isinstance(handler, FunctionType | MethodType):
        handler = type(handler).__call__ if callable(handler) else None
    function = getattr(handler, "__func__", handler)
    return function.__code__ if isinstance(function, FunctionType) else None
