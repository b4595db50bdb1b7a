"""A power of 2 is a product of a value with itself: exact, and cheaper than a power."""

from __future__ import annotations

from ..graph import Array
from ..graph.pattern import Match, constant, is_scalar, op, value
from ..graph.rewrite import Replacement, Rewrite, Rewrites


def _is_two(c: Array) -> bool:
    return is_scalar(c) and float(c.reshape(-1)[0]) == 2


def _squared(m: Match) -> Replacement:
    if not m.type("x").dtype.is_float or not m.keeps_shape("x", "exponent"):
        return None
    return m.root.with_(op="Mul", inputs=(m["x"], m["x"]))


SQUARE = Rewrite("square", op("Pow", value("x"), constant("exponent", _is_two)), _squared)

square_powers = Rewrites("square_powers", SQUARE)
