"""The attribute `epilogue` of products: ops behind one that its instruction computes before the result is stored
(graph/epilogue.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..record import NamedTuple
from .attributes import Attribute

EPILOGUE = "epilogue"


class FusedOp(NamedTuple):
    """One op of an epilogue: its operand `at` is the result so far, of a dtype, scale and zero point (0.0 and 0: of
    plain numbers)."""

    op: str
    at: int
    dtype: str
    scale: float
    zero_point: int
    attributes: tuple[tuple[str, Any], ...] = ()


def epilogue() -> Attribute:
    words = "a list of ops: name, operand that is the result so far, its dtype, scale and zero point, attributes"
    return Attribute(words, lambda v: isinstance(v, tuple) and bool(v) and all(map(_is_part, v)))


def _is_part(part: object) -> bool:
    if not isinstance(part, Sequence) or isinstance(part, str) or len(part) not in (5, 6):
        return False
    op, at, dtype, scale, zero, pairs = FusedOp(*part)
    named = isinstance(op, str) and isinstance(dtype, str) and isinstance(scale, float)
    counted = all(isinstance(v, int) and not isinstance(v, bool) for v in (at, zero)) and at >= 0
    return named and counted and isinstance(pairs, tuple) and all(map(_is_pair, pairs))


def _is_pair(pair: object) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)
