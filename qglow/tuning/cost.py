"""What a product should cost, cut in some way: a sum of what a kernel does, each with a price that is learned from
measurements.

The prices are the non-negative least squares of relative errors (an active set: prices that would be negative are left
out, one at a time; Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23, in its simplest form).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..instructions.table import BY_BLOCKS, BY_ROWS, POST_ADD, POST_NONE, POST_TABLE
from ..targets import target
from .schedule import Hints, ProductShape, share

Array = np.ndarray[Any, Any]
NAMES = (
    "start",
    "dots",
    "steps",
    "calls",
    "bytes_out",
    "sums_out",
    "others_out",
    "weights_l2",
    "weights_far",
    "pixels_l2",
    "pixels_far",
)


def candidates(work: ProductShape, threads: int, isa: str) -> list[Hints]:
    """Ways to cut a product, each once; they differ in what the kernel does, the way without hints is among them."""
    t = target(isa)
    most = t.float_pixels[0] if work.is_float else t.pixels
    found: dict[tuple[int, ...], Hints] = {}
    for split in (BY_ROWS, BY_BLOCKS) if threads > 1 else (BY_ROWS,):
        for limit in (0, most - 2, most // 2):
            pieces, _ = share(work, threads, split == BY_BLOCKS, limit)
            for tile in (0, 1, 4, 16, 32, 64, 128):
                if tile < pieces and 0 <= limit < work.width * (1 + (2 * work.width <= most)):
                    wanted = {"tile": tile, "limit": limit, "split": split if split == BY_BLOCKS else 0}
                    found[split, tile, limit] = {k: v for k, v in wanted.items() if v}
    return list(found.values())


def features(work: ProductShape, hints: Hints, threads: int, isa: str) -> Array:
    """What the thread that has most to do does, in the order of NAMES, float64."""
    limit = hints.get("limit", 0)
    pieces, jobs = share(work, threads, hints.get("split") == BY_BLOCKS, limit)
    s = target(isa)
    part = (work.channels % work.block or work.block) / work.block
    paired = not work.is_float and part == 1 and 2 * work.width <= min(work.most, limit or work.most)
    calls = -(-pieces // 2) if paired else pieces
    vectors = 1 if work.channels <= s.lanes else work.block // s.lanes
    tile = min(pieces, hints.get("tile") or pieces)
    tiles = -(-pieces // tile)
    width = work.width / work.cuts(limit)
    out = pieces * width * jobs * vectors
    piece = width * (work.x + work.y)
    all_weights, near = jobs * work.weights, tile * piece
    return np.array(
        [
            1.0,
            out * work.steps,
            jobs * calls * work.steps,
            jobs * calls,
            out * (work.post == POST_NONE),
            out * (work.post == POST_ADD),
            out * (work.post == POST_TABLE),
            jobs * calls * work.weights * (work.weights > s.l1),
            tiles * all_weights * (all_weights > s.l2),
            jobs * pieces * piece * (near > s.l1),
            jobs * pieces * piece * (near > s.l2),
        ]
    )


class CostModel:
    """Seconds of a product by the prices of its features."""

    def __init__(self, coefficients: Sequence[float]) -> None:
        self.coefficients = np.asarray(coefficients, np.float64)

    @classmethod
    def learn(cls, rows: Sequence[Array], seconds: Sequence[float]) -> CostModel:
        """rows: features of measured products [n, len(NAMES)]; seconds: [n], above 0."""
        a = np.asarray(rows) / np.asarray(seconds)[:, None]
        used = [k for k in range(a.shape[1]) if a[:, k].any()]
        while used:
            scale = np.abs(a[:, used]).max(0)
            found = np.linalg.lstsq(a[:, used] / scale, np.ones(len(a)), rcond=None)[0] / scale
            if (found >= 0).all():
                break
            used.remove(used[int(np.argmin(found * scale))])
        coefficients = np.zeros(a.shape[1])
        if used:
            coefficients[used] = found
        return cls(coefficients.tolist())

    def seconds(self, work: ProductShape, hints: Hints, threads: int, isa: str) -> float:
        return float(features(work, hints, threads, isa) @ self.coefficients)

    def best(self, work: ProductShape, threads: int, isa: str) -> tuple[Hints, float]:
        """The cheapest way to cut a product, and its seconds."""
        ways = candidates(work, threads, isa)
        costs = np.stack([features(work, h, threads, isa) for h in ways]) @ self.coefficients
        k = int(np.argmin(costs))
        return ways[k], float(costs[k])
