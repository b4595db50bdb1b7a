"""Which steps of packed weights must be widened on targets that add pairs of products in 16 bits (Target.pairs).

An instruction like `vpmaddubsw` adds the products of two neighbouring u8 and s8 bytes with saturation. The sum of
x w0 + y w1 for any x and y of 0 to 255 lies between 255 times the sum of the negative ones of w0 and w1, and 255 times
that of the positive ones. It is within 16 bits if and only if both sums are between -128 and 128: 255 * 128 < 2^15 <
255 * 129. One weight alone always is, and two of different signs are, so that |w0 + w1| <= 128 says the same.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array
from ..targets import target
from .packing import Packed, round_up, unpack

TAPS = 4  # of one step
PIECE = 1 << 20  # weights that are looked at together


def wide_shape(isa: str, groups: int, channels: int, rows: int, run: int) -> tuple[int, int]:
    """The shape of `wide_steps`: vectors of output channels, and steps of one. rows: runs of `run` taps."""
    p = target(isa)
    return groups * (round_up(channels, p.multiple) // p.lanes), rows * (round_up(run, p.step) // TAPS)


def wide_steps(isa: str, weights: Array, fused: bool) -> Array:
    """For each vector of output channels and each step, whether a pair of the vector's block can leave 16 bits.

    weights: int8 [G, OC, KH, KW, IC]. fused: as in `Packed`, whose order of runs and steps this is. Returns uint8
    [G * vectors, KH * runs * steps].
    """
    packed = Packed(isa, weights, fused)
    p, channels = packed.packing, packed.padded[0]
    shape = wide_shape(isa, packed.groups, packed.channels, packed.rows * packed.runs, packed.run)
    found = np.zeros((packed.groups, channels // p.lanes, shape[1]), np.uint8)
    if not found.size:
        return found.reshape(shape)
    taps = packed.source().reshape(packed.groups, channels, -1)
    at_once = max(1, PIECE // (p.block * shape[1] * TAPS)) * p.block
    for group in range(packed.groups):
        for first in range(0, channels, at_once):
            piece = taps[group, first : first + at_once]
            sums = np.add(piece[:, 0::2], piece[:, 1::2], dtype=np.int16)
            beyond: Array = np.abs(sums) > 128
            over: Array = beyond.reshape(len(piece), shape[1], TAPS // 2).max(2)
            for start in range(0, len(piece), p.block):
                vectors = np.s_[(first + start) // p.lanes : (first + start + p.block) // p.lanes]
                found[group, vectors] = over[start : start + p.block].max(0)
    return found.reshape(shape)


def wide_steps_of(isa: str, packed: Array, shape: tuple[int, ...]) -> Array:
    """`wide_steps` of packed weights. shape: G, OC, KH, runs and run, as in `unpack`."""
    return wide_steps(isa, unpack(isa, packed, shape), False)
