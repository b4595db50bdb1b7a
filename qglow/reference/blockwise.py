"""Products with block-wise quantized weights: equations (42) to (47) of docs/quantization.md.

Each row of x is quantized when it comes, block by block (42, 43). The sums within a block are exact integers (44),
which are added up as floats in the order of the blocks (45, 46). With `compute` "float32" x stays as it is, and the
weights are made floats (47).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import Array, DType, Node, TensorType
from ..graph.blocks import blocks_of
from .float_product import product_of
from .fused import chain
from .integer_product import Types

SMALLEST = np.float32(2.0**-100)  # a block whose largest magnitude is below is 0


def nibbles(data: Array, columns: int) -> Array:
    """The elements [N, columns] of u4 data [N, bytes], as uint8."""
    both = np.stack((data & 15, data >> 4), -1)
    return np.ascontiguousarray(both.reshape(len(data), -1)[:, :columns])


def packed_nibbles(q: Array) -> Array:
    """The inverse of `nibbles`: q [N, K] of 0 to 15 as bytes [N, ceil(K / 2)]."""
    even = np.pad(q, ((0, 0), (0, q.shape[1] % 2))).astype(np.uint8)
    return np.ascontiguousarray(even[:, ::2] | even[:, 1::2] << 4)


def stored_integers(w: Array, t: TensorType) -> Array:
    """The integers [N, K] of constant weights, uint8."""
    return nibbles(w, t.static_shape[1]) if t.dtype is DType.U4 else w


def default_zero(t: TensorType) -> int:
    """The zero point of weights that have none of their own: the middle of their dtype."""
    return (t.limits()[1] + 1) // 2


def widened(w: Array, t: TensorType, scales: Array, zeros: Array | None) -> Array:
    """(47) The weights as float32 [N, K]: f32(q - z) s."""
    _, columns, size, _ = blocks_of(t)
    q = stored_integers(w, t).astype(np.int32)
    z = np.int32(default_zero(t)) if zeros is None else np.repeat(zeros.astype(np.int32), size, 1)[:, :columns]
    return np.asarray((q - z).astype(np.float32) * np.repeat(scales, size, 1)[:, :columns])


def quantized_rows(x: Array, size: int) -> tuple[Array, Array]:
    """(42, 43) x float32 [M, K] -> (int8 [M, blocks, size], a short last block filled up with zeros; scales float32 [M,
    blocks])."""
    m, k = x.shape
    blocks = -(-k // size)
    padded = np.zeros((m, blocks * size), np.float32)
    padded[:, :k] = x
    padded = padded.reshape(m, blocks, size)
    largest = np.abs(padded).max(2, initial=0)
    with np.errstate(all="ignore"):
        scale = np.where(largest < SMALLEST, np.float32(0), largest / np.float32(127))
        scale = np.where(np.isfinite(largest), scale, np.float32(np.nan))
        inverse = np.where((largest < SMALLEST) | ~np.isfinite(largest), np.float32(0), np.float32(127) / largest)
        real = padded * inverse[:, :, None]
    q = np.rint(np.where(np.isfinite(real), real, np.float32(0)))
    return q.astype(np.int8), scale.astype(np.float32)


def block_sums(q: Array, w: Array, zeros: Array) -> Array:
    """(44) q int8 [M, size], w uint8 [N, size], zeros [N, 1] -> exact sums of q (w - z), float64 [M, N]."""
    return np.asarray(q.astype(np.float64) @ (w.astype(np.float64) - zeros).T)


def blockwise_matmul(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    x, w, scales, zeros, bias = (*inputs, None, None)[:5]
    t = types[1]
    assert x is not None and w is not None and scales is not None and t is not None
    n, k, size, blocks = blocks_of(t)
    rows = np.ascontiguousarray(x).reshape(-1, k)
    if node.attr("compute") == "float32":
        y = product_of(rows, widened(w, t, scales, zeros).T, bias)
        return [y.reshape(*x.shape[:-1], n)]
    q, s = quantized_rows(rows, size)
    weights = np.zeros((n, blocks * size), np.uint8)
    weights[:, :k] = stored_integers(w, t)
    z = np.full((n, blocks), default_zero(t), np.float64) if zeros is None else zeros.astype(np.float64)

    def terms() -> Iterator[tuple[Array, Array]]:
        for b in range(blocks):
            acc = block_sums(q[:, b], weights[:, b * size : (b + 1) * size], z[:, b : b + 1])
            with np.errstate(all="ignore"):
                yield acc.astype(np.float32) * scales[:, b], s[:, b : b + 1]  # (45)

    y = chain(np.zeros((len(rows), n), np.float32), terms())
    with np.errstate(all="ignore"):
        y = y + (np.zeros(n, np.float32) if bias is None else bias)  # (46)
    return [y.reshape(*x.shape[:-1], n)]
