"""Weight packing: the byte order in which each instruction set's convolution kernel reads its weights.

A kernel walks, for each block of output channels, the taps in the order kh, then one *run* of bytes. Where the input's
channels are dense and the taps of a row adjacent (`fused`), the run is the whole row of kw * ic bytes; otherwise each kw is
a run of ic bytes. Runs are padded with zero weights to the multiple that one dot-product step consumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Packing:
    """step: bytes of the run that one step consumes; lanes: output channels of one vector; vectors: vectors of one block.

    narrow: a last block of one vector is stored as one vector.
    """

    step: int
    lanes: int
    vectors: int
    narrow: bool = True

    @property
    def block(self) -> int:
        """Output channels of one block."""
        return self.lanes * self.vectors

    @property
    def multiple(self) -> int:
        """Output channels are padded to a multiple of this."""
        return self.lanes if self.narrow else self.block


PACKINGS: dict[str, Packing] = {
    "amx": Packing(64, 16, 2, narrow=False),
    "avx512_vbmi": Packing(4, 16, 2),
    "avx512_vnni": Packing(4, 16, 2),
    "avx2": Packing(4, 8, 2),
    "generic": Packing(4, 8, 2),
}


def round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def pack(isa: str, weights: Array, fused: bool) -> Array:
    """Weights [G, OC, KH, KW, IC] int8 in the order that `isa` reads: [G, OC/block, KH, runs, run/4, vectors, lanes, 4] int8.

    For tiles (step 64) a step is stored vector by vector, each as 16 rows of 64 bytes: [..., run/64, vectors, 16, lanes, 4].
    """
    p = PACKINGS[isa]
    g, oc, kh, kw, ic = weights.shape
    runs, run = (1, kw * ic) if fused else (kw, ic)
    shape = (g, round_up(oc, p.multiple), kh, runs, round_up(run, p.step))
    padded = weights.reshape(g, oc, kh, runs, run)
    if padded.shape != shape:
        padded, given = np.zeros(shape, np.int8), padded
        padded[:, :oc, :, :, :run] = given
    whole = padded.shape[1] // p.block * p.block
    parts = [_blocks(p, padded[:, :whole], p.vectors), _blocks(p, padded[:, whole:], 1)]
    return (parts[0] if whole == padded.shape[1] else np.concatenate(parts, 1)).reshape(-1)


def _blocks(p: Packing, padded: Array, vectors: int) -> Array:
    """[G, bytes] of blocks of `vectors` vectors each."""
    g, _, kh, runs, run = padded.shape
    fours = np.ascontiguousarray(padded).view("<i4")  # four bytes move together
    blocks = fours.reshape(g, -1, vectors, p.lanes, kh, runs, run // p.step, p.step // 4)
    return np.ascontiguousarray(blocks.transpose(0, 1, 4, 5, 6, 2, 7, 3)).view(np.int8).reshape(g, -1)


def unpack(isa: str, data: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `pack`: weights [G, OC, KH, runs, run] int8 of packed bytes."""
    if 0 in shape:
        return np.zeros(shape, np.int8)
    p, (g, oc, kh, runs, run) = PACKINGS[isa], shape
    channels, size = round_up(oc, p.multiple), kh * runs * round_up(run, p.step)
    whole = channels // p.block * p.block
    groups = data.reshape(g, channels * size)
    parts = ((groups[:, : whole * size], p.vectors), (groups[:, whole * size :], 1))
    found = []
    for part, vectors in parts:
        count, steps = part.shape[1] // (size * vectors * p.lanes), size // (kh * runs * p.step)
        blocks = part.reshape(g, count, kh, runs, steps, vectors, p.step // 4, p.lanes, 4)
        found.append(blocks.transpose(0, 1, 5, 7, 2, 3, 4, 6, 8).reshape(g, -1, kh, runs, steps * p.step))
    return np.concatenate(found, 1)[:, :oc, ..., :run]
