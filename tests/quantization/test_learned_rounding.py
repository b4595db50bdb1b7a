"""(55) beside the error of the product itself, over the rows that were seen: at least as good as nearest rounding,
least among its neighbours, exact in every sum, and as sound where inputs are strange."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.graph import Array
from qglow.quantization import learned_rounding
from qglow.quantization.block_weights import LIMITS, quantize_blocks
from qglow.quantization.learned_rounding import Gram, Rounded, gram, learn_rounding

SIZE = 16


def nearest(w: Array, bits: int) -> Rounded:
    q, scales = quantize_blocks(w, SIZE, bits)
    return Rounded(q.astype(np.int64) - (1 << (bits - 1)), scales)


def error(w: Array, made: Rounded, rows: Array, damped: bool = False) -> Array:
    """Of every output channel: the squared error of its products with the rows, [N]; damped: as (55) has it."""
    e = made.steps * np.repeat(made.scales.astype(np.float64), SIZE, 1) - w
    x = rows.astype(np.float64)
    more = (0.1 + w.shape[1] / len(rows)) * (e**2 * (x**2).sum(0)).sum(1)
    return ((x @ e.T) ** 2).sum(0) + (more if damped else 0.0)


def case(n: int = 24, k: int = 64, seed: int = 0) -> tuple[Array, Array]:
    """Weights [n, k], and rows whose columns go together."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 1, (200, 6)) @ rng.normal(0, 1, (6, k)) + rng.normal(0, 0.3, (200, k))
    return rng.normal(0, 0.1, (n, k)).astype(np.float32), rows.astype(np.float32)


@pytest.mark.parametrize("bits", [4, 8])
def test_products_have_less_error(bits: int) -> None:
    w, rows = case()
    first = nearest(w, bits)
    made = learn_rounding(w, first, gram(rows), LIMITS[bits])
    assert made.steps.dtype == np.int64 and made.scales.dtype == np.float32
    assert made.steps.min() >= LIMITS[bits][0] and made.steps.max() <= LIMITS[bits][1]
    before, after = (error(w, r, rows) for r in (first, made))
    assert after.sum() < before.sum() / 4  # 6 dB


def test_no_step_of_one_weight_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_rounding, "AGAIN", 1000)
    w, rows = case(6, 32)
    made = learn_rounding(w, nearest(w, 4), gram(rows), LIMITS[4])
    least = error(w, made, rows, True)
    for k in range(32):
        for step in (-1, 1):
            steps = made.steps.copy()
            steps[:, k] = np.clip(steps[:, k] + step, *LIMITS[4])
            assert (error(w, Rounded(steps, made.scales), rows, True) > least * (1 - 1e-4)).all()


def test_scales_have_the_least_error_for_their_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_rounding, "AGAIN", 0)
    w, rows = case(6, SIZE)
    made = learn_rounding(w, nearest(w, 4), gram(rows), LIMITS[4])
    least = error(w, made, rows, True)
    for factor in (0.999, 1.001):
        scales = (made.scales * factor).astype(np.float32)
        assert (error(w, Rounded(made.steps, scales), rows, True) > least).all()


def test_sums_are_those_of_exact_integers() -> None:
    """Whatever order BLAS adds in: beside Python's integers, and in another order of the rows."""
    _, rows = case(k=48)
    rows *= np.float32(10) ** np.random.default_rng(2).integers(-6, 6, 48).astype(np.float32)
    seen = gram(rows)
    units = np.rint(np.ldexp(rows.astype(np.float64), -seen.exponents)).astype(np.int64).astype(object)
    assert np.array_equal(seen.values.astype(np.int64), (units.T @ units).astype(np.int64))
    assert np.abs(units).max() <= 1 << 15
    again = gram(rows[::-1])
    assert np.array_equal(seen.values, again.values) and np.array_equal(seen.exponents, again.exponents)


def test_errors_by_sums_are_exact_where_columns_differ() -> None:
    """The integers that BLAS adds up stay below 2^53, with columns that are 2^40 times as large as others."""
    w, rows = case(4, 64)
    rows *= np.ldexp(np.float32(1), np.random.default_rng(3).integers(-20, 20, 64)).astype(np.float32)
    unit, h = learned_rounding._in_units(gram(rows), SIZE)
    assert np.array_equal(h, np.rint(h)) and np.abs(h).max() < 2.0**22
    for a in range(0, 64, SIZE):
        assert 0 <= np.ptp(unit[a : a + SIZE]) <= learned_rounding.SPREAD
    e = w.astype(np.float64)
    places = np.frexp(np.abs(e).max(1))[1] - learned_rounding.ERROR_BITS
    exact = np.rint(np.ldexp(e, -places[:, None])).astype(np.int64).astype(object) @ h.astype(np.int64).astype(object)
    assert np.array_equal(np.ldexp(exact.astype(np.float64), places[:, None]), learned_rounding._product(e, h))


def test_rows_of_two_halves_are_those_of_both() -> None:
    w, rows = case()
    one, two = gram(rows[:100]), gram(rows[100:] * np.float32(8))
    both = gram(np.concatenate([rows[:100], rows[100:] * np.float32(8)]))
    sums, wanted = (np.ldexp(g.values, g.exponents[:, None] + g.exponents) for g in (one.plus(two), both))
    assert np.allclose(sums, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_channels_and_columns_apart_are_as_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels do not know each other; panels of columns know each other's changes later, but know them."""
    w, rows = case()
    whole = learn_rounding(w, nearest(w, 4), gram(rows), LIMITS[4])
    monkeypatch.setattr(learned_rounding, "CHANNELS", 5)
    apart = learn_rounding(w, nearest(w, 4), gram(rows), LIMITS[4])
    assert np.array_equal(whole.steps, apart.steps) and np.array_equal(whole.scales, apart.scales)
    monkeypatch.setattr(learned_rounding, "PANEL", 32)
    panels = learn_rounding(w, nearest(w, 4), gram(rows), LIMITS[4])
    assert error(w, panels, rows).sum() < 1.1 * error(w, whole, rows).sum()
    monkeypatch.setattr(learned_rounding, "GROUP", 32)
    groups = learn_rounding(w, nearest(w, 4), gram(rows), LIMITS[4])
    assert error(w, groups, rows).sum() < error(w, nearest(w, 4), rows).sum()


def strange(kind: str) -> tuple[Array, Array]:
    w, rows = case(5, 32)
    if kind == "zeros":
        rows[:], w[2] = 0, 0
    elif kind == "a column of zeros":
        rows[:, 3], w[:, 16:] = 0, 0
    elif kind == "infinities":
        rows[::2, 5], rows[1::4, 6] = np.inf, np.nan
    elif kind == "far apart":
        rows[:, :16] *= np.float32(1e-30)
        rows[:, 20] *= np.float32(1e30)
        w[1] *= np.float32(1e-35)
        w[2] *= np.float32(1e30)
    return w, rows


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["zeros", "a column of zeros", "infinities", "far apart"])
def test_strange_inputs(kind: str) -> None:
    w, rows = strange(kind)
    first = nearest(w, 4)
    made = learn_rounding(w, first, gram(rows), LIMITS[4])
    assert np.isfinite(made.scales).all() and made.steps.min() >= -8 and made.steps.max() <= 7
    seen = rows[np.isfinite(rows).all(1)]
    assert (error(w, made, seen, True) <= error(w, first, seen, True) * (1 + 1e-3)).all()
    if kind == "zeros":
        assert np.array_equal(made.steps, first.steps) and np.array_equal(made.scales, first.scales)


def test_no_rows_change_nothing() -> None:
    w, _ = case(3, 32)
    first = nearest(w, 4)
    seen = gram(np.full((4, 32), np.nan, np.float32))
    assert isinstance(seen, Gram) and not seen.values.any()
    assert np.array_equal(learn_rounding(w, first, seen, LIMITS[4]).steps, first.steps)
