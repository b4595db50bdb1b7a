"""The packed order of weights, byte by byte, however the weights lie before."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qglow.graph import Array
from qglow.instructions.packing import Packed, pack, round_up, unpack
from qglow.targets import TARGETS

# in memory: dense, a convolution's, a matrix's by column
ORDERS = [(0, 1, 2, 3, 4), (0, 1, 4, 2, 3), (4, 3, 2, 1, 0), (0, 4, 2, 3, 1)]


def expected(isa: str, w: Array, fused: bool) -> list[int]:
    """The bytes as the kernels walk them: blocks, kernel rows, runs, steps; in a step vectors, fours of the run,
    channels."""
    p, (g, oc, kh, kw, ic) = TARGETS[isa], w.shape
    runs, run = (1, kw * ic) if fused else (kw, ic)
    taps = w.reshape(g, oc, kh, runs, run)
    channels, out = round_up(oc, p.multiple), []
    whole = channels // p.block * p.block
    blocks = [(b, p.vectors) for b in range(0, whole, p.block)] + [(b, 1) for b in range(whole, channels, p.lanes)]
    for group in range(g):
        for (first, vectors), row, k in itertools.product(blocks, range(kh), range(runs)):
            for step, v, four, lane, byte in itertools.product(
                range(0, round_up(run, p.step), p.step), range(vectors), range(0, p.step, 4), range(p.lanes), range(4)
            ):
                channel, at = first + v * p.lanes + lane, step + four + byte
                out.append(int(taps[group, channel, row, k, at]) if channel < oc and at < run else 0)
    return out


@pytest.mark.parametrize("isa", TARGETS)
@pytest.mark.parametrize(
    "shape",
    [(1, 32, 1, 1, 8), (1, 40, 3, 3, 4), (2, 17, 2, 3, 5), (1, 16, 1, 2, 64), (3, 1, 1, 1, 1), (1, 96, 1, 1, 128)],
)
def test_order(isa: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    for order, fused in itertools.product(ORDERS, (True, False)):
        dense = rng.integers(-128, 128, [shape[k] for k in order]).astype(np.int8)
        w = dense.transpose(np.argsort(order))
        assert w.shape == shape
        packed = pack(isa, w, fused)
        assert packed.tolist() == expected(isa, w, fused), (order, fused)
        runs, run = (1, shape[3] * shape[4]) if fused else (shape[3], shape[4])
        sizes = (*shape[:3], runs, run)
        assert np.array_equal(unpack(isa, packed, sizes), w.reshape(sizes))


def test_packed_into_a_place_among_others() -> None:
    w = np.arange(64, dtype=np.int8).reshape(1, 16, 1, 1, 4)
    out = np.full(300, 7, np.uint8)
    packed = Packed("avx512_vbmi", w, True)
    packed.write(out[64 : 64 + len(packed)])
    assert len(packed) == 64 and np.array_equal(out[64:128].view(np.int8), w.ravel())
    assert (out[:64] == 7).all() and (out[128:] == 7).all()
    Packed("avx512_vbmi", w[:, :0], True).write(out[:0])
