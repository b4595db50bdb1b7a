"""What the public functions are given, checked at the door: a wrong kind of argument is an error that says what was
expected."""

from __future__ import annotations

import os
from math import isnan
from pathlib import Path
from typing import Any

from .errors import ConfigError, QGlowError

LARGEST = 2**31 - 1


def path_of(value: Any, what: str, error: type[QGlowError], expected: str = "a path") -> Path:
    """A path given as str or os.PathLike. what: the argument, in the message."""
    if isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
        if isinstance(text, str) and "\0" not in text:
            return _reachable(Path(text), what, error)
    raise error(f"{what}: expected {expected}, got {shown(value)}")


def _reachable(path: Path, what: str, error: type[QGlowError]) -> Path:
    try:
        path.exists()
    except OSError as fault:  # NOTE: a name that is too long, a folder that may not be looked into
        raise error(f"{what}: {str(path)[:60]}: {fault.strerror}") from fault
    return path


def count_of(value: Any, what: str, error: type[QGlowError], least: int = 1, most: int = LARGEST) -> int:
    """A whole number from `least` to `most`; True is none."""
    is_integer = hasattr(value, "__index__") and not isinstance(value, bool) and not hasattr(value, "__len__")
    try:
        number = int(value.__index__()) if is_integer else None
    except TypeError:  # NOTE: an array of floats, or of several numbers
        number = None
    if number is None or not least <= number <= most:
        limit = f"at least {least}" if number is None or number < least else f"at most {most}"
        raise error(f"{what} must be a whole number, {limit}; got {shown(value)}")
    return number


def number_of(value: Any, what: str) -> float:
    """A number, not NaN; True is none."""
    try:
        if isinstance(value, (bool, str, bytes)) or isnan(float(value)):
            raise ValueError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{what} must be a number, got {shown(value)}") from None


def quoted(value: Any) -> str:
    """A value of a configuration in an error message: its text where that is short, else its type."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # NOTE: a number of too many digits, tables in tables
        text = ""
    return text if text and len(text) <= 60 else type(value).__name__


def shown(value: Any) -> str:
    """A value in an error message: its type, and its text where that is short."""
    try:
        text = repr(value)
    except Exception:  # NOTE: of another library's object it may fail in any way
        text = ""
    kind = type(value).__name__
    return kind if not text or len(text) > 60 or "\n" in text or kind in text else f"{kind} {text}"
