"""In which order, and by which pairs, products add taps on targets that add pairs of products in 16 bits
(Target.pairs).

An instruction like `vpmaddubsw` adds the products of two neighbouring u8 and s8 bytes with saturation. The sum of
x w0 + y w1 for any x and y of 0 to 255 lies between 255 times the sum of the negative ones of w0 and w1, and 255 times
that of the positive ones. It is within 16 bits if and only if both sums are between -128 and 128: 255 * 128 < 2^15 <
255 * 129. One weight alone always is, and two of different signs are, so that |w0 + w1| <= 128 says the same.

The four taps of a step are two pairs in three ways, `PAIRINGS`: where two large weights of a channel meet in one way,
each meets another one in the next. A step's pairing is the first one in which all pairs of all channels of the block
fit, or `WIDENED`: then the weights and pixels are widened before they are multiplied. Integer sums do not depend on
their order, so a block takes its steps pairing by pairing, without a branch between them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import Array
from ..record import NamedTuple
from ..targets import target
from .packing import Packed, round_up, unpack

PAIRINGS = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2))  # the taps of a step, in pairs that are added in 16 bits
WIDENED = len(PAIRINGS)
COUNTS = WIDENED + 1  # how many steps have each pairing, or none
WORDS = tuple(int.from_bytes(bytes(order), "little") for order in PAIRINGS[1:])  # their taps, byte by byte
HEAD = COUNTS + len(WORDS)  # numbers before the steps of a block
TAPS = 4  # of one step
STEP_FIELDS = "G", "C", "KH", "runs", "run", "x_h", "x_w", "DH", "DW"
PIECE = 1 << 20  # weights that are looked at together


def order_shape(isa: str, groups: int, channels: int, rows: int, run: int) -> tuple[int, int]:
    """The shape of `step_order`. rows: runs of `run` taps."""
    p = target(isa)
    return groups * -(-channels // p.block), HEAD + 2 * rows * (round_up(run, p.step) // TAPS)


class Steps(NamedTuple):
    """The steps of a product's blocks. rows, runs, run: kernel rows, their runs, and the taps of one; row, tap: bytes
    of x from one kernel row to the next, from one run to the next."""

    isa: str
    groups: int
    channels: int
    rows: int
    runs: int
    run: int
    row: int
    tap: int

    @property
    def total(self) -> int:
        """Steps of a block."""
        return self.rows * self.runs * (round_up(self.run, target(self.isa).step) // TAPS)

    @property
    def vectors(self) -> Array:
        """Vectors of each block of a group."""
        p = target(self.isa)
        every = round_up(self.channels, p.multiple) // p.lanes
        return np.minimum(p.vectors, every - np.arange(0, every, p.vectors))

    @property
    def reads(self) -> Array:
        """Where in x each step reads, int64, in bytes from the block's first tap."""
        row, run, step = np.ogrid[: self.rows, : self.runs, : self.total // max(1, self.rows * self.runs)]
        found: Array = row * self.row + run * self.tap + step * TAPS
        return found.reshape(-1)


def steps_of(isa: str, fields: Mapping[str, int | float]) -> Steps:
    """The steps of a conv2d by its fields."""
    groups, channels, rows, runs, run, x_h, x_w, dh, dw = (int(fields[n]) for n in STEP_FIELDS)
    return Steps(isa, groups, channels, rows, runs, run, x_h * dh if rows > 1 else 0, x_w * dw if runs > 1 else 0)


def can_be_ordered(steps: Steps) -> bool:
    """Whether int32 holds where the steps read."""
    return int(steps.reads.max(initial=0)) < 2**31


def step_order(steps: Steps, weights: Array, fused: bool) -> Array:
    """The steps of each block of output channels, pairing by pairing. weights, fused: as in `pairings`.

    Returns int32 [G * blocks, HEAD + 2 * steps]: how many steps have each of PAIRINGS, how many are WIDENED; WORDS; and
    of each step where it reads x and the block's packed weights, in bytes.
    """
    shape = order_shape(steps.isa, steps.groups, steps.channels, steps.rows * steps.runs, steps.run)
    found = np.zeros(shape, np.int32)
    if found.size:
        p, vectors = target(steps.isa), steps.vectors
        of_vectors = pairings(steps.isa, weights, fused).reshape(steps.groups, -1, steps.total)
        given = of_vectors[:, :: p.vectors].reshape(-1, steps.total)
        order = np.argsort(given, 1, kind="stable")
        found[:, :COUNTS] = np.stack([(given == pairing).sum(1) for pairing in range(COUNTS)], 1)
        found[:, COUNTS:HEAD] = WORDS
        found[:, HEAD::2] = steps.reads[order]
        found[:, HEAD + 1 :: 2] = order * (np.tile(vectors, steps.groups) * p.lanes * TAPS)[:, None]
    return found


def pairings(isa: str, weights: Array, fused: bool) -> Array:
    """For each vector of output channels and each step, an index of PAIRINGS, or WIDENED.

    weights: int8 [G, OC, KH, KW, IC]. fused: as in `Packed`, whose order of runs and steps this is. Returns uint8
    [G * vectors, KH * runs * steps], the same for all vectors of a block.
    """
    packed = Packed(isa, weights, fused)
    p, channels = packed.packing, packed.padded[0]
    vectors, steps = channels // p.lanes, packed.rows * packed.runs * packed.padded[1] // TAPS
    found = np.full((packed.groups, vectors, steps), WIDENED, np.uint8)
    if not found.size:
        return found.reshape(packed.groups * vectors, steps)
    taps = packed.source().reshape(packed.groups, channels, -1)
    at_once = max(1, PIECE // (p.block * steps * TAPS)) * p.block
    for group in range(packed.groups):
        for first in range(0, channels, at_once):
            piece = taps[group, first : first + at_once]
            over = leaves_16_bits(piece[:, 0::2], piece[:, 1::2]).reshape(len(piece), steps, 2).max(2)
            for start in range(0, len(piece), p.block):
                block = np.s_[start : start + p.block]
                of_block = np.s_[(first + start) // p.lanes : (first + start + p.block) // p.lanes]
                found[group, of_block] = _pairings_of(piece[block].reshape(-1, steps, TAPS), over[block].any(0))
    return found.reshape(packed.groups * vectors, steps)


def _pairings_of(taps: Array, left: Array) -> Array:
    """uint8 [steps] of a block. taps: int8 [channels, steps, TAPS]; left: bool [steps], those that the first pairing
    does not fit."""
    found: Array = np.where(left, WIDENED, 0).astype(np.uint8)
    steps = np.flatnonzero(left)
    for pairing in range(1, WIDENED):
        a, b, c, d = (taps[:, steps, tap] for tap in PAIRINGS[pairing])
        fit = ~(leaves_16_bits(a, b) | leaves_16_bits(c, d)).any(0)
        found[steps[fit]] = pairing
        steps = steps[~fit]
    return found


def leaves_16_bits(w0: Array, w1: Array) -> Array:
    """Whether products of two int8 weights with u8 bytes can have a sum beyond 16 bits: bool, elementwise."""
    beyond: Array = np.abs(np.add(w0, w1, dtype=np.int16)) > 128
    return beyond


def wrong_steps(steps: Steps, packed: Array, given: Array) -> int:
    """How many blocks do not have each of their steps once, or with a pair whose sum can leave 16 bits, or read
    elsewhere. packed: weights, int8; given: as made by `step_order`."""
    p, sizes = target(steps.isa), np.tile(steps.vectors, steps.groups) * target(steps.isa).lanes * TAPS
    shape = steps.groups, steps.channels, steps.rows, steps.runs, steps.run
    taps = Packed(steps.isa, unpack(steps.isa, packed, shape), False).source()
    blocks = [t for g in taps for t in np.split(g, range(p.block, len(g), p.block))]
    wrong = 0
    for block, size, line in zip(blocks, sizes, given, strict=True):
        counts, reads, places = line[:COUNTS], line[HEAD::2], line[HEAD + 1 :: 2]
        once = np.array_equal(np.sort(places), np.arange(steps.total) * size)
        known = counts.min() >= 0 and counts.sum() == steps.total and tuple(line[COUNTS:HEAD]) == WORDS
        if not once or not known:
            wrong += 1
            continue
        order, of_step = places // size, np.repeat(np.arange(COUNTS), counts)
        found = block.reshape(len(block), steps.total, TAPS)[:, order]
        faults: Array = reads != steps.reads[order]
        for pairing, (a, b, c, d) in enumerate(PAIRINGS):
            leaves = leaves_16_bits(found[..., a], found[..., b]) | leaves_16_bits(found[..., c], found[..., d])
            faults |= (of_step == pairing) & leaves.any(0)
        wrong += bool(faults.any())
    return wrong
