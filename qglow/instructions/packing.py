"""Weight packing: the byte order in which each instruction set's convolution kernel reads its weights.

A kernel walks, for each block of output channels, the taps in the order kh, then one *run* of bytes. Where the input's
channels are dense and the taps of a row adjacent (`fused`), the run is the whole row of kw * ic bytes; otherwise each
kw is a run of ic bytes. Runs are padded with zero weights to the multiple that one dot-product step consumes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..targets import target

Array = np.ndarray[Any, Any]


def round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


class Packed:
    """Weights [G, OC, KH, KW, IC] int8 that are packed when their bytes are wanted, straight into their place.

    The order: [G, OC/block, KH, runs, run/4, vectors, lanes, 4] int8. For tiles (step 64) a step is stored vector by
    vector, each as 16 rows of 64 bytes: [..., run/64, vectors, 16, lanes, 4].
    """

    def __init__(self, isa: str, weights: Array, fused: bool) -> None:
        self.packing, self.weights = target(isa), weights
        self.groups, self.channels, self.rows, kw, ic = weights.shape
        self.runs: int = 1 if fused else kw
        self.run: int = kw * ic if fused else ic
        self.padded = round_up(self.channels, self.packing.multiple), round_up(self.run, self.packing.step)

    def __len__(self) -> int:
        """Bytes."""
        return self.groups * self.padded[0] * self.rows * self.runs * self.padded[1]

    def write(self, out: Array) -> None:
        """out: uint8 [len(self)], contiguous."""
        if not len(self):
            return
        p, (channels, _) = self.packing, self.padded
        full = channels // p.block * p.block
        by_group, size = out.reshape(self.groups, -1), len(self) // (self.groups * channels)
        source = self.source()
        for first, last, vectors in ((0, full, p.vectors), (full, channels, 1)):
            if first < last:
                self._write_blocks(source[:, first:last], by_group[:, first * size : last * size], vectors)

    def source(self) -> Array:
        """[G, channels, KH, runs, run] of padded sizes: without gaps along the run, or from channel to channel."""
        w, (channels, run) = self.weights, self.padded
        shape = (self.groups, channels, self.rows, self.runs, run)
        if (self.channels, self.run) == self.padded and (
            w.flags.c_contiguous or (self.run == w.shape[4] and w.strides[1] == 1)
        ):
            return w.reshape(shape)
        made = np.empty(shape, np.int8) if (self.channels, self.run) == self.padded else np.zeros(shape, np.int8)
        if self.runs == w.shape[3]:
            made[:, : self.channels, :, :, : self.run] = w
            return made
        ic = w.shape[4]
        for k in range(w.shape[3]):
            made[:, : self.channels, :, 0, k * ic : (k + 1) * ic] = w[:, :, :, k]
        return made

    def _write_blocks(self, source: Array, out: Array, vectors: int) -> None:
        """Blocks of `vectors` vectors each. out: uint8 [G, bytes]."""
        p, (g, _, kh, runs, run) = self.packing, source.shape
        blocks = (g, -1, vectors, p.lanes, kh, runs, run // p.step, p.step // 4)
        places = out.view(np.int8).reshape(g, -1, kh, runs, run // p.step, vectors, p.step // 4, p.lanes, 4)
        if source.strides[4] == 1:  # four bytes move together
            places.view("<i4")[..., 0] = source.view("<i4").reshape(blocks).transpose(0, 1, 4, 5, 6, 2, 7, 3)
            return
        for k in range(4):
            places[..., k] = source[..., k::4].reshape(blocks).transpose(0, 1, 4, 5, 6, 2, 7, 3)


def pack(isa: str, weights: Array, fused: bool) -> Array:
    """The packed bytes of weights [G, OC, KH, KW, IC] int8, as `isa` reads them: int8, one dimension (see Packed)."""
    packed = Packed(isa, weights, fused)
    out = np.empty(len(packed), np.uint8)
    packed.write(out)
    return out.view(np.int8)


def unpack(isa: str, data: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `pack`: weights [G, OC, KH, runs, run] int8 of packed bytes."""
    if 0 in shape:
        return np.zeros(shape, np.int8)
    p, (g, oc, kh, runs, run) = target(isa), shape
    channels, size = round_up(oc, p.multiple), kh * runs * round_up(run, p.step)
    full = channels // p.block * p.block
    groups = data.reshape(g, channels * size)
    parts = ((groups[:, : full * size], p.vectors), (groups[:, full * size :], 1))
    found = []
    for part, vectors in parts:
        count, steps = part.shape[1] // (size * vectors * p.lanes), size // (kh * runs * p.step)
        blocks = part.reshape(g, count, kh, runs, steps, vectors, p.step // 4, p.lanes, 4)
        found.append(blocks.transpose(0, 1, 5, 7, 2, 3, 4, 6, 8).reshape(g, -1, kh, runs, steps * p.step))
    return np.concatenate(found, 1)[:, :oc, ..., :run]


FLOAT_VECTORS = 2  # vectors of a block of float weights


def pack_floats(isa: str, weights: Array) -> Array:
    """Weights [G, OC, K] float32 as [G, OC / block, K, vectors, lanes], K in the law's order; a last block of one
    vector is kept as one.

    Other elements of four bytes are packed alike: pairs of int16 along K, as int32.
    """
    p = target(isa)
    g, oc, k = weights.shape
    padded = np.zeros((g, round_up(oc, p.lanes), k), weights.dtype)
    padded[:, :oc] = weights
    block = p.lanes * FLOAT_VECTORS
    full = padded.shape[1] // block * block
    parts = [padded[:, :full].reshape(g, full // block, block, k), padded[:, None, full:]]
    return np.concatenate([part.swapaxes(2, 3).reshape(g, part.size // max(1, g)) for part in parts], 1).reshape(-1)


def unpack_floats(isa: str, data: Array, shape: tuple[int, int, int]) -> Array:
    """The inverse of `pack_floats`: weights [G, OC, K]."""
    p, (g, oc, k) = target(isa), shape
    if 0 in shape:
        return np.zeros(shape, data.dtype)
    channels, block = round_up(oc, p.lanes), p.lanes * FLOAT_VECTORS
    full = channels // block * block
    groups = data.reshape(g, channels * k)
    parts = (
        groups[:, : full * k].reshape(g, full // block, k, block),
        groups[:, full * k :].reshape(g, 1, k, channels - full),
    )
    return np.concatenate([part.swapaxes(2, 3).reshape(g, part.shape[1] * part.shape[3], k) for part in parts], 1)[
        :, :oc
    ]
