"""Functions of float64 beside those of the C library, to a few of its last bits, and what becomes of values at the
ends."""

from __future__ import annotations

import math

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


def magnitudes() -> np.ndarray:
    """Numbers of every size and sign, those that are rounded to less than all bits, and those beside which formulas
    change."""
    changes = [0.25, 0.5, 1.0, 2.0, 20.0, 60.0, 1e8, 700.0, 709.78, 745.0, 2.0**-1022]
    beside = np.concatenate([np.nextafter(v, [0, np.inf]) for v in changes])
    tiny = [5e-324, 1e-323, 1.5e-310, 2.2e-308, 1.7976931348623157e308]
    found = np.concatenate(
        [10.0 ** np.arange(-308, 308, 0.37), beside, tiny, np.linspace(0, 4, 97), np.linspace(5, 800, 60)]
    )
    return np.concatenate([found, -found, [0.0, -0.0, np.inf, -np.inf, np.nan]])


FUNCTIONS = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh, "tanh": np.tanh, "atan": np.arctan, "asin": np.arcsin, "acos": np.arccos, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "erf": np.vectorize(math.erf), "softplus": lambda x: np.logaddexp(0, x),
    "sigmoid": lambda x: np.exp(-np.logaddexp(0, -x)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_numbers_of_every_size(name: str) -> None:
    """Within 8 units of the last place of the C library's, which is itself off by one or two; NaN and infinities where
    it has them."""
    x = magnitudes()
    with np.errstate(all="ignore"):
        got, want = getattr(double_math, name)(x), FUNCTIONS[name](x)
    assert np.array_equal(np.isnan(got), np.isnan(want)), x[np.isnan(got) != np.isnan(want)]
    ends = np.isinf(got) | np.isinf(want)
    assert np.array_equal(got[ends], want[ends]), x[ends][got[ends] != want[ends]]
    rest = np.isfinite(want)
    off = np.abs(got[rest] - want[rest]) > 8 * np.spacing(np.abs(want[rest]))
    assert not off.any(), x[rest][off]
