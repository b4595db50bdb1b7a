"""Functions of float64 beside those of the C library, to a few of its last bits, and what becomes of values at the ends."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.reference import double_math

RNG = np.random.default_rng(0)
ENDS = np.array([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 1e300, -1e300, np.inf, -np.inf, np.nan])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_powers_at_the_ends() -> None:
    """As in C, but for minus infinity to a fraction."""
    x, y = (a.ravel() for a in np.meshgrid(ENDS, ENDS))
    same = ~((x == -np.inf) & (y != np.rint(y)))
    with np.errstate(all="ignore"):
        got, want = double_math.power(x, y)[same], np.power(x, y)[same]
    assert np.array_equal(np.isnan(got), np.isnan(want))
    assert np.array_equal(np.isfinite(got), np.isfinite(want)) and np.array_equal(
        np.signbit(got)[~np.isnan(want)], np.signbit(want)[~np.isnan(want)]
    )
    finite = np.isfinite(want)
    assert np.allclose(got[finite], want[finite], rtol=1e-13, atol=0)


@pytest.mark.parametrize("size", [1e3, 1e7, 4e7, 1e10, 1e22, 1e100, 1e300])
def test_angles_of_any_size_are_turned_back_exactly(size: float) -> None:
    x = RNG.normal(0, size, 500)
    turns, r = double_math.quarter_turns(x)
    assert np.abs(r).max() < 0.7854
    for got, want in ((np.choose(turns, [np.sin(r), np.cos(r), -np.sin(r), -np.cos(r)]), np.sin(x)),
                      (np.choose(turns, [np.cos(r), -np.sin(r), -np.cos(r), np.sin(r)]), np.cos(x))):  # fmt: skip
        assert np.abs(got - want).max() < 1e-15
