"""Every output counts: NaN, infinities, integers, booleans, shapes; and one verdict says whether int8 agrees."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qglow.report.comparison import Comparison, Equality, Error, Items, comparison_of, ratio_db
from qglow.report.verdict import complaints, described, worst_db

ONES = np.ones(100, np.float32)


def compared(real: object, got: object) -> Comparison:
    found = comparison_of(real)
    found.add(real, got)
    return found


def spoiled(value: float, count: int = 1) -> np.ndarray:
    array = ONES.copy()
    array[:count] = value
    return array


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_element_that_is_not_finite_on_one_side_is_a_failure(value: float) -> None:
    for real, got in (
        (ONES, spoiled(value)),
        (spoiled(value), ONES),
        (spoiled(value), spoiled(np.nan if value == np.inf else np.inf)),
    ):
        error = compared(real, got)
        assert isinstance(error, Error) and error.sqnr_db == -200 and error.cosine == 0 and error.not_finite == 1
        assert complaints({"y": error}, -200.0) and worst_db({"y": error}) == -200
        assert json.loads(json.dumps(error.to_dict(), allow_nan=False))["not_finite"] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_same_on_both_sides_is_no_difference(value: float) -> None:
    error = compared(spoiled(value, 3), spoiled(value, 3))
    assert isinstance(error, Error) and error.sqnr_db == 200 and not complaints({"y": error}, 100.0)
    assert error.signal == 97


def test_numbers_whose_squares_overflow_are_compared() -> None:
    error = compared(np.full(4, 1e200), np.full(4, -1e200))
    assert isinstance(error, Error) and error.sqnr_db == -200 and json.dumps(error.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("real", "got", "share"),
    [
        (np.arange(10), np.arange(10), 1.0),
        (np.arange(10), np.where(np.arange(10) < 4, -1, np.arange(10)), 0.6),
        (np.array([True, False]), np.array([True, True]), 0.5),
        (np.array(["a", "b"], object), np.array(["a", "c"], object), 0.5),
        (np.arange(10), np.arange(8), 0.0),
        (np.zeros(0, np.int64), np.zeros(0, np.int64), 1.0),
    ],
)
def test_what_is_not_float_is_compared_by_equality(real: np.ndarray, got: np.ndarray, share: float) -> None:
    found = compared(real, got)
    assert isinstance(found, Equality) and found.to_dict()["equal"] == share
    assert ratio_db(found.to_dict()) == pytest.approx(200.0 if share == 1 else -10 * np.log10(1 - share))
    assert bool(complaints({"y": found}, 3.0)) == (share < 0.5) and bool(complaints({"y": found}, 20.0)) == (
        share < 0.99
    )
    assert f"{share:.1%}" in described(found.to_dict())


def test_another_shape_on_most_samples_is_a_failure() -> None:
    error = Error()
    for size in (4, 4, 4, 5):
        error.add(np.ones(4), np.ones(size))
    assert error.other_shape == 1 and not complaints({"y": error}, 20.0)
    for _ in range(4):
        error.add(np.ones(4), np.ones(5))
    assert "another shape than in float on 5 of 8 samples" in complaints({"y": error}, 20.0)["y"]
    alone = compared(np.ones((2, 3)), np.ones((3, 2)))
    assert isinstance(alone, Error) and alone.sqnr_db == -200


def test_sequences_are_compared_item_by_item() -> None:
    items = compared([ONES, np.arange(3)], [ONES, np.arange(3)])
    assert isinstance(items, Items) and items.noise_share == 0
    assert complaints({"y": compared([ONES, ONES], [ONES, spoiled(np.nan)])}, 0.0)
    assert complaints({"y": compared([ONES], [ONES, ONES])}, 0.0)


def test_an_output_without_a_signal_is_held_to_nan_alone() -> None:
    assert not complaints({"y": compared(np.zeros(3), np.full(3, 1e-3))}, 20.0)
    assert complaints({"y": compared(np.zeros(3), np.full(3, np.nan))}, 20.0)
