"""Numbers that stand for many: what is computed of them is what is computed of each."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from qglow.instructions.each import LARGEST, Differs, Each, each
from qglow.instructions.packing import round_up

COLUMNS = [[3, 4, 5], [8, 8, 8], [-7, -1, 6], [0, 1, 2], [64, 128, 192], [5, 4, 3]]
ARITHMETIC: list[Callable[[Any, Any], Any]] = [
    operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod,
]  # fmt: skip
QUESTIONS: list[Callable[[Any, Any], bool]] = [
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
]  # fmt: skip


def values_of(number: Any) -> list[int]:
    return number.values.tolist() if type(number) is Each else [number] * 3


@pytest.mark.parametrize(("a", "b"), product(COLUMNS, [*COLUMNS, [2, 2, 2]]))
def test_what_is_computed_and_asked_is_that_of_each(a: list[int], b: list[int]) -> None:
    x, y = each(np.array(a)), each(np.array(b))
    for compute in ARITHMETIC:
        if 0 in b and compute in (operator.floordiv, operator.mod):
            with pytest.raises((Differs, ZeroDivisionError)):
                compute(x, y)
        else:
            assert values_of(compute(x, y)) == list(map(compute, a, b))
    for ask in QUESTIONS:
        answers = list(map(ask, a, b))
        if len({*answers}) == 1:
            assert ask(x, y) is answers[0]
        else:
            with pytest.raises(Differs) as differs:
                ask(x, y)
            assert differs.value.yes.tolist() in (answers, [not yes for yes in answers])
    assert values_of(-x) == [-v for v in a] and values_of(abs(x)) == list(map(abs, a))
    assert values_of(round_up(x, 16)) == [round_up(v, 16) for v in a]


def test_what_takes_it_for_an_int_is_refused() -> None:
    x = each(np.array([3, 4, 5]))
    assert isinstance(x, int) and type(x) is not int and hash(x) == hash(each(np.array([3, 4, 5])))
    uses: tuple[Any, ...] = (range, int, np.zeros, operator.index, float, bytes, [1, 2].__getitem__)
    for use in uses:
        with pytest.raises(TypeError):
            use(x)
    with pytest.raises(TypeError):
        np.array([1, x], np.int64)
    with pytest.raises(Differs):
        bool(each(np.array([0, 1, 2])))


def test_no_number_overflows() -> None:
    x = each(np.array([3, LARGEST - 1]))
    for compute, other in ((operator.add, x), (operator.mul, 2), (operator.mul, x), (operator.sub, -x)):
        with pytest.raises(OverflowError):
            compute(x, other)
    with pytest.raises(OverflowError):
        _ = x + (1 << 70)
