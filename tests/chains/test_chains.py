"""Chains of blocks: every block behind every other, and longer ones drawn by a fixed seed.

In float a session is held to onnxruntime: the layouts that lowering chooses, and the places that it makes for values,
are shared by all engines of qglow, and only another runtime can say that they are right. In int8 it is held to the
reference, bit for bit. `tools/explore` draws others at length.
"""

from __future__ import annotations

import pytest

from .chains import Chain, drawn, float_faults, int8_faults, pairs

PAIRS = [pairs()[k::16] for k in range(16)]
LONG = [(length, seed) for length in (3, 5, 8) for seed in (1, 2)]


def named(part: list[Chain]) -> str:
    return f"{len(part)} chains"


@pytest.mark.parametrize("part", PAIRS, ids=named)
def test_float_pairs_are_what_onnxruntime_says(part: list[Chain]) -> None:
    assert not float_faults(part, len(part))


@pytest.mark.parametrize("part", PAIRS[::4], ids=named)
def test_int8_pairs_have_the_bits_of_the_reference(part: list[Chain]) -> None:
    assert not int8_faults(part)


@pytest.mark.parametrize(("length", "seed"), LONG)
def test_long_chains(length: int, seed: int) -> None:
    part = drawn(60, length, seed)
    assert not float_faults(part, seed)
    assert not int8_faults(part[::2], seed, threads=1 + seed % 2)
