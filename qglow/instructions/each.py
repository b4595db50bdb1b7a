"""Whole numbers that stand for one at each of many lengths: what is computed of one number is computed of all at once,
and what is asked of one is asked of all.

An answer that is the same at all lengths is given; one that is not is `Differs`, and says where it is yes. So a
function that knows of none of this, and comes to an end, says for each of the lengths what it would say there alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Array

LARGEST = 1 << 62  # beyond it a number cannot be told from one that overflowed


class Differs(Exception):
    """A question whose answer hangs on the length. yes: bool, of each length."""

    def __init__(self, yes: Array) -> None:
        super().__init__("the answer is not the same at all lengths")
        self.yes = yes


class Each:
    """int64 numbers, one a length, that are not all the same; where they are, operations give an int.

    It passes for an int where code asks what it has, and is none for what takes it as one: numpy, `range` and `int()`
    refuse it with TypeError.
    """

    __slots__ = ("high", "low", "values")

    def __init__(self, values: Array, low: int, high: int) -> None:
        self.values, self.low, self.high = values, low, high

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        return int

    def __hash__(self) -> int:
        return hash(self.values.tobytes())

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __repr__(self) -> str:
        return f"Each({self.low} to {self.high})"

    def __add__(self, other: Any) -> Any:
        return each(self.values + _of(other))

    def __sub__(self, other: Any) -> Any:
        return each(self.values - _of(other))

    def __rsub__(self, other: Any) -> Any:
        return each(_of(other) - self.values)

    def __mul__(self, other: Any) -> Any:
        if max(abs(self.low), abs(self.high)) * _largest(other) >= LARGEST:
            raise OverflowError
        return each(self.values * _of(other))

    __radd__, __rmul__ = __add__, __mul__

    def __floordiv__(self, other: Any) -> Any:
        return each(self.values // _divisor(other))

    def __mod__(self, other: Any) -> Any:
        return each(self.values % _divisor(other))

    def __rfloordiv__(self, other: Any) -> Any:
        return each(_of(other) // _divisor(self))

    def __rmod__(self, other: Any) -> Any:
        return each(_of(other) % _divisor(self))

    def __neg__(self) -> Any:
        return each(-self.values)

    def __abs__(self) -> Any:
        return each(np.abs(self.values))

    def __lt__(self, other: Any) -> bool:
        return _below(self - other)

    def __ge__(self, other: Any) -> bool:
        return not _below(self - other)

    def __gt__(self, other: Any) -> bool:
        return _below(other - self)

    def __le__(self, other: Any) -> bool:
        return not _below(other - self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, int):
            return NotImplemented
        more = self - other
        if not _is_each(more):
            return bool(more == 0)
        return False if more.low > 0 or more.high < 0 else _answer(more.values == 0)


def _is_each(number: object) -> bool:
    return type(number) is Each


def each(values: Array) -> Any:
    """The numbers at all lengths, int64."""
    low, high = int(values.min()), int(values.max())
    if low <= -LARGEST or high >= LARGEST:
        raise OverflowError
    return low if low == high else Each(values, low, high)


def _of(number: Any) -> Any:
    if _is_each(number):
        return number.values
    if type(number) is not int or abs(number) >= LARGEST:
        raise OverflowError
    return number


def _largest(number: Any) -> int:
    return max(abs(number.low), abs(number.high)) if _is_each(number) else abs(number)


def _divisor(number: Any) -> Any:
    if not number:
        raise ZeroDivisionError
    return _of(number)


def _below(number: Any) -> bool:
    """Whether a number is below 0."""
    if not _is_each(number):
        return bool(number < 0)
    return number.high < 0 if number.high < 0 or number.low >= 0 else _answer(number.values < 0)


def _answer(yes: Array) -> bool:
    first = bool(yes[0])
    if (yes != first).any():
        raise Differs(yes)
    return first
