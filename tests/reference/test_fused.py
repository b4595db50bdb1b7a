"""Fused multiply-adds in numpy are rounded once: held against exact fractions where rounding twice would differ."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qglow.graph import Node
from qglow.reference import FLOAT
from qglow.reference.float_table import STRICT_FLOAT
from qglow.reference.fused import chain, fma

RNG = np.random.default_rng(0)
F32 = np.float32


def rounded(exact: Fraction) -> np.float32:
    """The float32 nearest to a fraction, ties to even."""
    guess = F32(float(exact))
    around = [c for c in (np.nextafter(guess, F32(-np.inf)), guess, np.nextafter(guess, F32(np.inf))) if np.isfinite(c)]
    return min(around, key=lambda c: (abs(Fraction(float(c)) - exact), int(c.view(np.int32)) & 1))


def check(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> int:
    """Holds fma against fractions; how often rounding twice gives something else."""
    got = fma(x, y, z)
    for k in range(x.size):
        exact = Fraction(float(x[k])) * Fraction(float(y[k])) + Fraction(float(z[k]))
        assert got[k] == rounded(exact), f"fma({x[k]!r}, {y[k]!r}, {z[k]!r})"
    return int(((x.astype(np.float64) * y + z).astype(F32) != got).sum())


def test_ordinary_numbers() -> None:
    check(*(RNG.normal(0, 1, 1000).astype(F32) for _ in range(3)))


def test_sums_next_to_the_middle_of_two_floats() -> None:
    n = 1000
    x = (1 + RNG.integers(0, 4, n) * 2.0**-20).astype(F32)
    y = (2.0**-24 * (1 + RNG.integers(-3, 4, n) * 2.0**-20)).astype(F32)
    z = ((1 + RNG.integers(0, 8, n) * 2.0**-23) * RNG.choice([-1, 1], n)).astype(F32)
    assert check(x, y, z) > n // 50


def test_results_below_the_least_normal_number() -> None:
    n = 1000
    x, y = (RNG.normal(0, 1, n) * 1e-22).astype(F32), (RNG.normal(0, 1, n) * 1e-21).astype(F32)
    check(x, y, (RNG.normal(0, 1, n) * 1e-42).astype(F32))
    check((RNG.normal(0, 1, n) * 2.0**-70).astype(F32), (RNG.normal(0, 1, n) * 2.0**-72).astype(F32), np.zeros(n, F32))


@settings(max_examples=200, deadline=None)
@given(
    *[
        st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**60), max_value=2.0**60)
        for _ in range(3)
    ]
)
def test_whatever_numbers(x: float, y: float, z: float) -> None:
    check(*(np.array([v], F32) for v in (x, y, z)))


def test_what_is_not_finite() -> None:
    x, y, z = (
        np.array(v, F32) for v in ([np.inf, np.inf, np.nan, 3e38, -0.0], [0, 2, 1, 10, 1], [1, -np.inf, 1, 1, -0.0])
    )
    got = fma(x, y, z)
    assert np.isnan(got[:3]).all() and got[3] == np.inf and np.signbit(got[4]) and got[4] == 0


def test_sums_below_the_least_normal_float_are_rounded_once() -> None:
    """The product is less than half of the last bit of z by 2^-182, which a float64 of the sum does not hold; and more
    by as much."""
    x, y = (
        np.array([2.0**-75 * (1 + 2.0**-16), 2.0**-75 * (1 + 2.0**-16)], F32),
        np.array([2.0**-75 * (1 - 2.0**-16), 2.0**-75], F32),
    )
    z = np.full(2, 2.0**-127 + 2.0**-149, F32)
    assert np.array_equal(fma(x, y, z), [z[0], np.nextafter(z[1], F32(1))])


def test_a_chain_is_its_steps() -> None:
    x, w, a = (
        RNG.normal(0, 1, (50, 7)).astype(F32),
        RNG.normal(0, 1, (50, 7)).astype(F32),
        RNG.normal(0, 1, 7).astype(F32),
    )
    want = a
    for k in range(50):
        want = fma(x[k], w[k], want)
    assert np.array_equal(chain(a, zip(x, w, strict=True)), want)


@pytest.mark.parametrize(
    ("op", "shapes", "attributes"),
    [
        ("Conv", [(2, 6, 9, 8), (8, 3, 3, 2), (8,)], {"group": 2, "pads": (1, 0, 2, 1), "strides": (2, 1),
        "dilations": (1, 2)}),
        ("Conv", [(2, 6, 9, 8), (12, 1, 3, 3), (12,)], {"group": 6, "pads": (1, 1, 1, 1)}),
        ("Conv", [(2, 6, 9), (12, 6, 3)], {"pads": (1, 1)}),
        ("Conv", [(1, 2, 4, 5, 6), (3, 2, 2, 2, 2)], {}),
        ("ConvTranspose", [(2, 6, 9, 8), (6, 4, 3, 2), (8,)], {"group": 2, "strides": (2, 3), "pads": (1, 0, 0, 1)}),
        ("ConvTranspose", [(2, 6, 9, 8), (6, 4, 2, 2)], {"strides": (3, 2)}),
        ("ConvTranspose", [(2, 6, 9), (6, 4, 4)], {"strides": (2,), "output_padding": (1,)}),
        ("Gemm", [(5, 7), (3, 7), (3,)], {"transB": 1, "alpha": 0.3, "beta": 2.0}),
        ("Gemm", [(7, 5), (7, 3), (5, 1)], {"transA": 1}),
        ("MatMul", [(2, 3, 5, 7), (3, 7, 4)], {}),
        ("MatMul", [(7,), (3, 7, 4)], {}),
        ("MatMul", [(2, 5, 7), (7,)], {}),
        ("MatMul", [(2, 5, 7), (7, 4), (4,)], {}),
    ],
)  # fmt: skip
def test_the_law_is_the_op(op: str, shapes: list[tuple[int, ...]], attributes: dict[str, object]) -> None:
    """Within a few roundings of the same op in float64."""
    inputs = [RNG.normal(0, 1, s).astype(F32) for s in shapes]
    node = Node(op, tuple("abc"[: len(inputs)]), ("y",), attributes, "n")
    want, got = FLOAT[op](node, [i.astype(np.float64) for i in inputs])[0], STRICT_FLOAT[op](node, list(inputs))[0]
    assert got.dtype == F32 and got.shape == want.shape
    assert np.abs(got - want).max() < 1e-5
