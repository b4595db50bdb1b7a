"""The law of long sums: chains of floats in blocks, the blocks added in float64 (docs/quantization.md, 40)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..graph import Array

BLOCK = 512  # terms of one chain


def sum_in_blocks(x: Array) -> Array:
    """The sum over the first axis, [n, ...] -> [...] of x's dtype.

    BLOCK terms at a time are added one after the other in x's dtype, from 0; these sums one after the other in float64;
    and that is rounded once. Up to BLOCK terms are one chain. The relative error of terms of one sign is at most about
    BLOCK u, with u = 2^-24 of float32, whatever n is (Higham, Accuracy and Stability of Numerical Algorithms, 2nd
    edition, 4.2 and 4.3).
    """
    full = len(x) // BLOCK
    blocks = x[: full * BLOCK].reshape(full, BLOCK, *x.shape[1:])
    parts = np.zeros((full, *x.shape[1:]), x.dtype)
    for k in range(BLOCK if full else 0):
        parts = parts + blocks[:, k]
    rest = np.zeros(x.shape[1:], x.dtype)
    for term in x[full * BLOCK :]:
        rest = rest + term
    if not full:
        return np.asarray(rest)
    total = np.zeros(x.shape[1:], np.float64)
    for part in (*parts, rest):
        total = total + part
    return np.asarray(total.astype(x.dtype))


def sum_of_terms(terms: Iterable[Array]) -> Array:
    """`sum_in_blocks` of arrays of one shape and dtype that come one by one; at least one."""
    chain: Array | None = None
    total: Array | None = None
    for k, x in enumerate(terms):
        if k % BLOCK == 0 and chain is not None:
            total = np.asarray(chain.astype(np.float64) if total is None else total + chain)
            chain = None
        chain = (np.zeros(x.shape, x.dtype) if chain is None else chain) + x
    assert chain is not None, "a sum without terms"
    return chain if total is None else np.asarray((total + chain).astype(chain.dtype))
