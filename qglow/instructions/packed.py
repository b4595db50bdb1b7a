"""Weights that are packed when their bytes are wanted, and what these bytes follow from."""

from __future__ import annotations

from math import prod

import numpy as np

from ..graph import Array
from ..targets import target
from .packing import Packed, pack_floats, round_up, unpack_floats


class PackedFloats:
    """Weights [G, OC, ...] float32 whose other dimensions, in their order, are the K of `pack_floats`."""

    def __init__(self, isa: str, weights: Array) -> None:
        self.isa, self.weights = isa, weights
        groups, channels, *rest = weights.shape
        self.elements = groups * round_up(channels, target(isa).lanes) * prod(rest)

    def __len__(self) -> int:
        """Bytes."""
        return 4 * self.elements

    def write(self, out: Array) -> None:
        """out: uint8 [len(self)], contiguous."""
        w = self.weights
        out.view(np.float32)[:] = pack_floats(self.isa, w.reshape(*w.shape[:2], prod(w.shape[2:])))


class PackedBlocks:
    """Block-wise weights, in the order of `blockwise_matmul`: [columns / block, blocks of a row, steps, vectors, lanes,
    4] bytes.

    A step is 4 elements of a column, of u8, or 8 of u4: four in the lower halves of its bytes and the next four in the
    upper ones. Columns are filled up to whole blocks of the instruction set's, rows to whole blocks of elements, with
    zeros.
    """

    def __init__(self, isa: str, weights: Array, shape: tuple[int, int], size: int, bits: int) -> None:
        """weights: uint8 [N, K], or of u4 [N, ceil(K / 2)]. shape: N and K. size: elements of a block."""
        self.packing, self.weights, self.shape, self.size, self.bits = target(isa), weights, shape, size, bits
        self.columns, self.blocks = round_up(shape[0], self.packing.block), -(-shape[1] // size)

    def __len__(self) -> int:
        """Bytes."""
        return self.columns * self.blocks * self.size * self.bits // 8

    def write(self, out: Array) -> None:
        """out: uint8 [len(self)], contiguous."""
        (n, k), p, per = self.shape, self.packing, 8 // self.bits
        rows = np.zeros((self.columns, self.blocks * self.size // per), np.uint8)
        rows[:n, : -(-k // per)] = self.weights
        if per == 2:
            if k % 2:
                rows[:n, k // 2] &= 15
            rows = halves_by_fours(rows)
        steps = self.size // (4 * per)
        words = rows.view("<u4").reshape(-1, p.vectors, p.lanes, self.blocks, steps)
        out.view("<u4").reshape(-1, self.blocks, steps, p.vectors, p.lanes)[...] = words.transpose(0, 3, 4, 1, 2)


def halves_by_fours(rows: Array) -> Array:
    """u4 rows [N, 4 m bytes], elements in their order, as elements 0 to 3 of each eight in lower halves and 4 to 7 in
    upper ones."""
    fours = rows.reshape(len(rows), -1, 4)
    low, high = fours[..., :2], fours[..., 2:]
    made = np.empty_like(fours)
    made[..., 0::2] = low & 15 | high << 4
    made[..., 1::2] = low >> 4 | high & 240
    return made.reshape(rows.shape)


def unpack_blocks(isa: str, data: Array, shape: tuple[int, int, int], bits: int) -> Array:
    """The inverse of `PackedBlocks.write`: uint8 elements [columns, blocks, size] of packed bytes. shape: these
    three."""
    p, (columns, blocks, size) = target(isa), shape
    per = 8 // bits
    places = data.reshape(-1, blocks, size // (4 * per), p.vectors, p.lanes, 4).transpose(0, 3, 4, 1, 2, 5)
    places = places.reshape(columns, blocks, -1, 4)
    if per == 2:
        places = np.stack((places & 15, places >> 4), 3)
    return np.ascontiguousarray(places).reshape(columns, blocks, size)


class PackedPairs:
    """Weights [G, OC, KH, runs, run] of int16 products, in the order of `pack_floats`: an element is two int16 along
    the run, the last one maybe filled up with a zero."""

    def __init__(self, isa: str, weights: Array) -> None:
        """weights: int8, or int16 of at most 8 bits and a sign."""
        self.isa, self.weights = isa, weights
        groups, channels, rows, runs, run = weights.shape
        self.shape = groups, channels, rows * runs * round_up(run, 2) // 2

    def __len__(self) -> int:
        """Bytes."""
        return 4 * self.shape[0] * round_up(self.shape[1], target(self.isa).lanes) * self.shape[2]

    def write(self, out: Array) -> None:
        """out: uint8 [len(self)], contiguous."""
        run = self.weights.shape[4]
        filled = np.zeros((*self.weights.shape[:4], round_up(run, 2)), np.int16)
        filled[..., :run] = self.weights
        out.view(np.int32)[:] = pack_floats(self.isa, filled.view(np.int32).reshape(self.shape))


def unpack_pairs(isa: str, data: Array, shape: tuple[int, int, int, int, int]) -> Array:
    """The inverse of `PackedPairs.write`: int16 weights [G, OC, KH, runs, run] of packed int32. shape: these five."""
    g, oc, kh, runs, run = shape
    pairs = unpack_floats(isa, data, (g, oc, kh * runs * round_up(run, 2) // 2))
    return np.ascontiguousarray(pairs).view(np.int16).reshape(g, oc, kh, runs, round_up(run, 2))[..., :run]


Lazy = Packed | PackedFloats | PackedBlocks | PackedPairs  # constants that become bytes where they are bound


def way_of(piece: Lazy) -> tuple[object, ...]:
    """All that the packed bytes follow from, beside the array of weights."""
    if isinstance(piece, PackedFloats):
        return "floats", piece.isa
    if isinstance(piece, PackedPairs):
        return "pairs", piece.isa
    if isinstance(piece, PackedBlocks):
        return "blocks", piece.packing, piece.shape, piece.size, piece.bits
    return "bytes", piece.packing, piece.runs, piece.run
