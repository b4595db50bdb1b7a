"""Powers to one exponent: a single operation where there is one, and near the power of float64 elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from qglow.reference import float_ordered

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("exponent", "exact"), [(1.0, lambda x: x), (2.0, np.square), (0.5, np.sqrt), (-1.0, np.reciprocal)]
)
def test_powers_that_are_one_operation_are_rounded_once(
    exponent: float, exact: Callable[[np.ndarray], np.ndarray]
) -> None:
    x = np.exp(RNG.normal(size=1000) * 9).astype(np.float32)
    assert np.array_equal(float_ordered.power(x, np.float32(exponent)), exact(x))


@pytest.mark.parametrize("exponent", [k / 4 for k in range(-11, 19) if k])
def test_powers_are_near_those_of_float64(exponent: float) -> None:
    x = np.exp(RNG.normal(size=200)).astype(np.float32)
    want = x.astype(np.float64) ** exponent
    assert np.allclose(float_ordered.power(x, np.float32(exponent)), want, rtol=1e-6, atol=0)
