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
    """step: bytes of the run that one step consumes; lanes: output channels of one vector; vectors: vectors of one block."""

    step: int
    lanes: int
    vectors: int

    @property
    def block(self) -> int:
        """Output channels of one block."""
        return self.lanes * self.vectors


PACKINGS: dict[str, Packing] = {
    "amx": Packing(64, 16, 2),
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
    padded = np.zeros((g, round_up(oc, p.block), kh, runs, round_up(run, p.step)), np.int8)
    padded[:, :oc, :, :, :run] = weights.reshape(g, oc, kh, runs, run)
    blocks = padded.reshape(g, -1, p.vectors, p.lanes, kh, runs, padded.shape[-1] // p.step, p.step // 4, 4)
    return np.ascontiguousarray(blocks.transpose(0, 1, 4, 5, 6, 2, 7, 3, 8)).reshape(-1)
