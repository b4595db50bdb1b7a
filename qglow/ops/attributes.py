"""The types of attribute values: each with the words for an error message, a check, and the default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..record import NamedTuple

READ, NEUTRAL, IGNORED = "read", "neutral", "ignored"
_SIZE = 1 << 31


class Attribute(NamedTuple):
    """words: what a value is. holds: whether one is. default: where the node has none; None where the op computes it.

    effect: READ; NEUTRAL: any value but the default is not implemented; IGNORED: no value changes a result.
    is_whole: whether a value is a whole number, or a list of them.
    """

    words: str
    holds: Callable[[Any], bool]
    default: Any = None
    required: bool = False
    effect: str = READ
    is_whole: bool = False


def neutral(attribute: Attribute) -> Attribute:
    return attribute._replace(effect=NEUTRAL)


def ignored(attribute: Attribute) -> Attribute:
    return attribute._replace(effect=IGNORED)


def required(attribute: Attribute) -> Attribute:
    return attribute._replace(required=True)


def integer(default: int | None = None, least: int | None = None, most: int | None = None) -> Attribute:
    said = f"a whole number{_range(least, most)}"
    return Attribute(said, lambda v: _is_int(v, least, most), default, is_whole=True)


def size(default: int | None = None, least: int = 1) -> Attribute:
    """A count: from `least` on."""
    return integer(default, least, _SIZE)


def flag(default: int = 0) -> Attribute:
    return integer(default, 0, 1)


def integers(least: int | None = None) -> Attribute:
    """A list of integers. It has no default: one that a node leaves out follows from the shapes of its inputs."""
    said = f"a list of whole numbers{_range(least, None)}"

    def holds(v: Any) -> bool:
        return isinstance(v, (tuple, list)) and all(_is_int(k, least, None) for k in v)

    return Attribute(said, holds, is_whole=True)


def real(default: float | None = None) -> Attribute:
    return Attribute("a number", _is_real, default)


def reals() -> Attribute:
    return Attribute("a list of numbers", lambda v: isinstance(v, (tuple, list)) and all(map(_is_real, v)))


def word(*choices: str, default: str | None = None) -> Attribute:
    said = f"one of {', '.join(choices)}" if choices else "a word"
    return Attribute(said, lambda v: isinstance(v, str) and (not choices or v in choices), default)


def words() -> Attribute:
    return Attribute("a list of words", lambda v: isinstance(v, (tuple, list)) and all(isinstance(w, str) for w in v))


def array() -> Attribute:
    return Attribute("an array", lambda v: isinstance(v, np.ndarray))


def _is_int(v: Any, least: int | None, most: int | None) -> bool:
    is_integer = isinstance(v, (int, np.integer)) and not isinstance(v, bool)
    return is_integer and (least is None or v >= least) and (most is None or v <= most)


def _is_real(v: Any) -> bool:
    return isinstance(v, (int, float, np.integer, np.floating)) and not isinstance(v, bool)


def _range(least: int | None, most: int | None) -> str:
    return "" if least is None else f" of at least {least}" if most in (None, _SIZE) else f" from {least} to {most}"
