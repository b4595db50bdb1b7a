"""What an observer records equals what numpy counts, and neither order nor partition changes a byte of it."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qglow.graph import Array
from qglow.profiling import Observer
from qglow.profiling.channels import UNIT
from qglow.profiling.derived import Pair
from qglow.profiling.observer_record import record_of
from qglow.profiling.observers import BINS, joined
from qglow.profiling.passes import add_counts, discard_counts, observe

SPECIAL = (0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 2.0**-40, -(2.0**-40), 1.0, -1.0, 3.4e38, -3.4e38, 255.99998)
FLOATS = st.one_of(
    st.floats(-8, 8, width=32),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([float(np.float32(v)) for v in SPECIAL]),
)
ANY = st.one_of(FLOATS, st.sampled_from([np.inf, -np.inf, np.nan]))


def arrays(values: st.SearchStrategy[float], channels: int = 3) -> st.SearchStrategy[list[Array]]:
    """Samples [1, channels, columns]; empty ones too."""
    row = st.lists(values, max_size=40)
    return st.lists(row, min_size=1, max_size=7).map(
        lambda rows: [np.array(r[: len(r) // channels * channels], np.float32).reshape(1, channels, -1) for r in rows]
    )


def expected_histogram(values: Array, reach: float) -> Array:
    """Counts of exact quotients, with no floating point at all."""
    counts = np.zeros(BINS, np.int64)
    width = Fraction(2 * reach) / BINS
    for v in values.ravel().tolist():
        counts[Fraction(v) // width + BINS // 2] += 1
    return counts


@settings(deadline=None, max_examples=150)
@given(arrays(ANY), st.booleans())
def test_an_observer_counts_what_numpy_counts(samples: list[Array], by_pixel: bool) -> None:
    o = Observer()
    for x in samples:
        o.observe(np.ascontiguousarray(x.transpose(0, 2, 1)).transpose(0, 2, 1) if by_pixel else x)
    every = np.concatenate([x.ravel() for x in samples])
    finite = every[np.isfinite(every)]
    assert (o.nans, o.lowest, o.highest) == (np.isnan(every).sum(), (every == -np.inf).sum(), (every == np.inf).sum())
    assert o.count == finite.size == o.histogram.sum()
    if not finite.size:
        return
    assert (o.min, o.max) == (finite.min(), finite.max())
    magnitude = float(np.abs(finite).max())
    assert o.reach >= UNIT and o.reach > magnitude and np.frexp(o.reach)[0] == 0.5
    assert o.reach == UNIT or o.reach <= 2 * magnitude * (1 + 1e-6)
    assert np.array_equal(o.histogram, expected_histogram(finite, o.reach))


@pytest.mark.parametrize("shape", [(1, 16, 5, 7), (2, 24, 4, 4), (1, 7, 3, 50), (1, 40, 1, 1), (3, 1, 9, 9)])
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e5, 1e30])
def test_every_layout_and_width(shape: tuple[int, ...], scale: float) -> None:
    """Whole vectors of channels, parts of one, and pixels with others between them."""
    rng = np.random.default_rng(0)
    x = (rng.normal(0, scale, shape) * rng.integers(0, 2, shape)).astype(np.float32)
    n, c, h, w = shape
    wider = np.full((n, h, w + 2, c + 3), np.nan, np.float32)
    wider[:, :, 1:-1, :c] = x.transpose(0, 2, 3, 1)
    for form in (x, wider[:, :, 1:-1, :c].transpose(0, 3, 1, 2)):
        o = Observer()
        o.observe(form)
        assert np.array_equal(o.histogram, expected_histogram(x, o.reach)) and (o.min, o.max) == (x.min(), x.max())
        assert np.array_equal(o.channel_min, x.min((0, 2, 3))) and np.array_equal(o.channel_max, x.max((0, 2, 3)))
        assert o.channel_mean is not None
        error = np.abs(o.channel_mean - x.astype(np.float64).mean((0, 2, 3))).max()
        assert error <= 1e-12 * np.abs(x).max() + UNIT


def test_counts_of_an_interrupted_observation_are_thrown_away() -> None:
    x = np.linspace(-1, 1, 100, dtype=np.float32).reshape(1, 1, 100)
    observe(x, 2.0)  # as if an interrupt had come before its counts were fetched
    found = np.zeros(BINS, np.int64)
    observe(x, 2.0)
    add_counts(found)
    assert found.sum() == 100
    observe(x, 2.0)
    discard_counts()
    add_counts(found)
    assert found.sum() == 100


def text(o: Observer) -> str:
    return json.dumps(record_of(o))


def by_itself(samples: list[Array]) -> Observer:
    o = Observer()
    for x in samples:
        o.observe(x)
    return o


@settings(deadline=None, max_examples=100)
@given(arrays(ANY), st.booleans())
def test_a_relu_seen_with_its_input_is_as_seen_by_itself(samples: list[Array], by_pixel: bool) -> None:
    if by_pixel:
        samples = [np.ascontiguousarray(x.transpose(0, 2, 1)).transpose(0, 2, 1) for x in samples]
    one, other = Observer(), Observer()
    pair = Pair(one, other)
    for x in samples:
        if not pair.observe(x):
            other.observe(np.maximum(x, 0))
    pair.flush()
    assert text(one) == text(by_itself(samples))
    assert text(other) == text(by_itself([np.maximum(x, 0) for x in samples]))


@settings(deadline=None, max_examples=60)
@given(arrays(FLOATS, 2), arrays(ANY, 3))
def test_what_is_put_together_is_as_seen_by_itself(few: list[Array], many: list[Array]) -> None:
    """Also where a part holds NaN and infinities, and where no element was finite."""
    pairs = [(a, np.resize(b, (1, 3, a.shape[2]))) for a, b in zip(few, many, strict=False) if a.size and b.size]
    wholes = [np.concatenate(pair, 1) for pair in pairs]
    parts = [by_itself([pair[k] for pair in pairs]) for k in range(2)]
    assert text(joined(parts)) == text(by_itself(wholes))


@settings(deadline=None, max_examples=60)
@given(arrays(ANY), st.randoms(use_true_random=False))
def test_no_order_and_no_partition_changes_a_byte(samples: list[Array], random: object) -> None:
    whole = Observer()
    for x in samples:
        whole.observe(x)
    shuffled = list(samples)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    parts: list[Observer] = []
    for x in shuffled:
        if not parts or random.random() < 0.5:  # type: ignore[attr-defined]
            parts.append(Observer())
        parts[-1].observe(x)
    random.shuffle(parts)  # type: ignore[attr-defined]
    merged = Observer()
    for part in parts:
        merged = merged.merge(part)
    assert text(merged) == text(whole)
