"""The rule, the ways to cut a product, and the cost model."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.instructions.table import BY_BLOCKS
from qglow.targets import NEAR
from qglow.tuning.cost import NAMES, CostModel, candidates, features
from qglow.tuning.schedule import ProductShape, default_schedule, even_blocks

SMALL = ProductShape(
    rows=7,
    width=7,
    jobs=16,
    block=32,
    channels=512,
    steps=1152,
    weights=147456,
    x=512,
    y=512,
    most=14,
    post=0,
    floats=0,
)
LARGE = ProductShape(
    rows=56, width=56, jobs=8, block=32, channels=256, steps=16, weights=2048, x=64, y=256, most=14, post=1, floats=0
)

MATRIX = ProductShape(
    rows=1,
    width=1024,
    jobs=32,
    block=32,
    channels=1024,
    steps=256,
    weights=32768,
    x=1024,
    y=1024,
    most=14,
    post=0,
    floats=0,
)


def test_the_rule_shares_evenly() -> None:
    assert default_schedule(SMALL, 1) == {}
    assert default_schedule(SMALL, 2) == {"split": BY_BLOCKS}, "seven rows are four and three"
    assert "split" not in default_schedule(LARGE, 2)
    assert default_schedule(MATRIX, 2).keys() == {"tile"}, "one row of 74 pieces"


def test_half_of_a_last_block_is_no_even_share() -> None:
    """320 pixels by 48 channels, a block and a half: 23 pieces of pixels are shared more evenly."""
    uneven = MATRIX._replace(width=320, jobs=2, channels=48)
    assert (even_blocks(uneven, 1), even_blocks(uneven, 2)) == (1.5, 1.0)
    assert "split" not in default_schedule(uneven, 2)
    assert default_schedule(uneven._replace(channels=64), 2)["split"] == BY_BLOCKS
    groups = uneven._replace(jobs=6)  # three groups of a block and a half: the first thread has 2 and the half
    assert (even_blocks(groups, 1), even_blocks(groups, 2), even_blocks(groups, 3)) == (4.5, 2.5, 1.5)


def test_the_rule_keeps_small_weights_near() -> None:
    tile = default_schedule(LARGE, 1)["tile"]
    assert tile * 14 * 320 <= NEAR < (tile + 1) * 14 * 320
    assert default_schedule(MATRIX, 1)["tile"] * 14 * 2048 <= NEAR, (
        "its weights fit no cache, but pixels would go by 32 times"
    )


@pytest.mark.parametrize("work", [SMALL, LARGE])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_candidates_are_different_and_hold_the_plain_way(work: ProductShape, threads: int) -> None:
    found = candidates(work, threads, "avx2")
    assert {} in found and len({tuple(sorted(h.items())) for h in found}) == len(found)
    assert any("split" in h for h in found) == (threads > 1)
    assert all(h.get("tile", 1) < work.rows * work.cuts(h.get("limit", 0)) for h in found)


def test_prices_are_found_again() -> None:
    """Times that are made from prices: the model learns them, and none is negative with noise."""
    coefficients = np.array([1e-6, 1e-12, 3e-10, 2e-8, 1e-9, 2e-9, 0, 1e-11, 2e-11, 1e-12, 0])
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(60):
        rows_, width, jobs, steps = (int(v) for v in rng.integers(1, 60, 4))
        work = ProductShape(
            rows_, width, jobs, 32, 32 * jobs, steps, steps * 128, 60, 240, 14, int(rng.integers(0, 2)), 0
        )
        rows += [features(work, h, 1, "avx512_vnni") for h in candidates(work, 1, "avx512_vnni")]
    times = np.array(rows) @ coefficients
    assert np.allclose(np.array(rows) @ CostModel.learn(rows, times.tolist()).coefficients, times, rtol=1e-6)
    noisy = CostModel.learn(rows, (times * rng.uniform(0.9, 1.2, len(times))).tolist())
    assert (noisy.coefficients >= 0).all() and len(noisy.coefficients) == len(NAMES)


def test_the_cheapest_way_wins() -> None:
    """With calls as the only cost, the fewest calls."""
    model = CostModel([1.0 if n == "calls" else 0.0 for n in NAMES])
    best, seconds = model.best(LARGE, 1, "avx512_vnni")
    assert "limit" not in best and seconds == min(
        model.seconds(LARGE, h, 1, "avx512_vnni") for h in candidates(LARGE, 1, "avx512_vnni")
    )
