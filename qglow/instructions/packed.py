"""Weights that are packed when their bytes are wanted, and what these bytes follow from."""

from __future__ import annotations

from math import prod

import numpy as np

from ..graph import Array
from ..targets import target
from .packing import Packed, pack_floats, round_up


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


def way_of(piece: Packed | PackedFloats) -> tuple[object, ...]:
    """All that the packed bytes follow from, beside the array of weights."""
    if isinstance(piece, PackedFloats):
        return "floats", piece.isa
    return "bytes", piece.packing, piece.runs, piece.run
