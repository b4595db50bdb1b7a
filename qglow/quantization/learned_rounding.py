"""Block-wise weights rounded for the least error of the product rather than of each weight.

A product of rows x with weights w has the squared error sum over rows of ((q s - w) x)^2 = e H e^T, e = q s - w the
error of an output channel and H the sum of x^T x over rows that were seen. (48) rounds each weight to its nearest;
where inputs go together, the error of one weight can make up for another's.

(55) Block after block, weight after weight, for all output channels at once: q[k] takes the step that makes e H e^T
     least with all others as they are, g = e H kept beside it; until no weight moves, or SWEEPS times. Then each scale
     becomes that of the least error for its q, and the weights go once more. H[k, k] counts 1 + DAMPING + K / rows
     times: what was seen is not all that comes, least of all where it was little.

Coordinate descent on the problem of Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers, 2023 (Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, 2020, for
convolutions). The same bits everywhere: every sum that BLAS makes is one of integers below 2^53, whatever its order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..graph import Array

SWEEPS, AGAIN = 3, 2
DAMPING = 0.1
ROW_BITS = 15  # of a value of a row: 2^13 rows of products of two stay below 2^53
GRAM_BITS = 20  # of H[k, k], in units of its column
ERROR_BITS = 17  # of an error, of the largest of its channel
SPREAD = 15  # binary orders between columns of a block: smaller columns count as if they were larger
LEAST, SPAN = -(1 << 20), 200  # the order of a column of zeros; orders below the highest that count
PANEL = 512  # columns that know each other's changes at once
CHANNELS = 1024  # that are rounded together: they do not know each other
GROUP = 4096  # columns that are rounded together: H of more would be large


class Gram(NamedTuple):
    """H of some columns, as integers: H[k, l] = values[k, l] 2^(exponents[k] + exponents[l])."""

    values: Array  # float64 integers [K, K]
    exponents: Array  # int64 [K]
    rows: int

    def plus(self, other: Gram) -> Gram:
        """Of the rows of both."""
        top = np.maximum(self.exponents, other.exponents)
        parts = [np.rint(_scaled(g.values, g.exponents - top)) for g in (self, other)]
        return Gram(parts[0] + parts[1], top, self.rows + other.rows)


def gram(rows: Array) -> Gram:
    """Of float32 rows [n, K], n at most 2^13. Rows with a NaN or an infinity do not count."""
    seen = rows[np.isfinite(rows).all(1)].astype(np.float64)
    largest = np.abs(seen).max(0, initial=0.0)
    exponents = np.where(largest > 0, np.frexp(largest)[1], 0).astype(np.int64) - ROW_BITS
    units = np.rint(seen * _power(-exponents))
    return Gram(units.T @ units, exponents, len(seen))


class Rounded(NamedTuple):
    """steps: int64 [N, K], the integers around 0; scales: float32 [N, K / size]."""

    steps: Array
    scales: Array


def learn_rounding(w: Array, first: Rounded, seen: Gram, limits: tuple[int, int]) -> Rounded:
    """(55) from the rounding `first`. w: float32 [N, K]; limits: the least and the largest step."""
    parts = [
        _learned(w[n : n + CHANNELS], Rounded(*(part[n : n + CHANNELS] for part in first)), seen, limits)
        for n in range(0, len(w), CHANNELS)
    ]
    return _joined(parts, 0)


def _learned(w: Array, first: Rounded, seen: Gram, limits: tuple[int, int]) -> Rounded:
    size, parts = w.shape[1] // first.scales.shape[1], []
    width = max(size, GROUP // size * size)
    for a in range(0, w.shape[1], width):
        b = min(a + width, w.shape[1])
        columns = Gram(seen.values[a:b, a:b], seen.exponents[a:b], seen.rows)
        part = Rounded(first.steps[:, a:b], first.scales[:, a // size : b // size])
        descent = _Descent(w[:, a:b].astype(np.float64), part, columns, limits)
        descent.sweep(SWEEPS)
        descent.fit_scales()
        descent.sweep(AGAIN)
        parts.append(Rounded(descent.steps.astype(np.int64), descent.scales.astype(np.float32)))
    return _joined(parts, 1)


def _joined(parts: Sequence[Rounded], axis: int) -> Rounded:
    return Rounded(*(np.concatenate(part, axis) for part in zip(*parts, strict=True)))


class _Descent:
    """In units of the columns: a weight of column k counts 2^unit[k] times, and H[k, k] is near 2^GRAM_BITS."""

    def __init__(self, w: Array, first: Rounded, seen: Gram, limits: tuple[int, int]) -> None:
        self.steps, self.scales = first.steps.astype(np.float64), first.scales.astype(np.float64)
        self.limits, self.size = limits, w.shape[1] // first.scales.shape[1]
        self.unit, self.h = _in_units(seen, self.size)
        self.wanted = w * _power(self.unit)

    def sweep(self, most: int) -> None:
        for _ in range(most):
            before = self.steps.copy()
            self._over_all(self._round)
            if np.array_equal(before, self.steps):
                return

    def fit_scales(self) -> None:
        """The scale of each block that has the least error for its steps, the others as they are."""
        self._over_all(self._fit)

    def _over_all(self, change: Callable[[int, int, Array], tuple[Array, Array]]) -> None:
        """change: given a block's place, its first column and g = e H of its columns, gives integers [N, size] and what
        one of them is worth in each channel, by which e changes: g of its panel at once, of later ones when the panel
        is done."""
        g = _product(self._error(0, None), self.h)
        width = max(self.size, PANEL // self.size * self.size)
        for a in range(0, self.h.shape[0], width):
            b = min(a + width, self.h.shape[0])
            before = self._error(a, b)
            for first in range(a, b, self.size):
                end, k = first + self.size, first // self.size
                moved, s = change(k, first, g[:, first:end])
                if moved.any():
                    least = self.unit[first:end].min()
                    sums = (moved * _power(self.unit[first:end] - least)) @ self.h[first:end, a:b]  # NOTE: of integers
                    g[:, a:b] += (s * _power(least))[:, None] * sums
            if b < self.h.shape[0]:
                g[:, b:] += _product(self._error(a, b) - before, self.h[a:b, b:])

    def _error(self, a: int, b: int | None) -> Array:
        """Of the columns from a to b."""
        blocks = self.scales[:, a // self.size : None if b is None else b // self.size]
        scale = np.repeat(blocks, self.size, 1) * _power(self.unit[a:b])
        return self.steps[:, a:b] * scale - self.wanted[:, a:b]

    def _round(self, k: int, a: int, g: Array) -> tuple[Array, Array]:
        """Steps [N, size] that weights take, and what a step is worth."""
        s, inner, moved = self.scales[:, k], g.copy(), np.zeros_like(g)
        worth = s[:, None] * _power(self.unit[a : a + self.size])
        for i in range(self.size):
            curve = worth[:, i] * self.h[a + i, a + i]
            with np.errstate(all="ignore"):
                wanted = np.where(curve != 0, np.rint(-inner[:, i] / curve), 0.0)
            step = np.clip(self.steps[:, a + i] + wanted, *self.limits) - self.steps[:, a + i]
            if step.any():
                moved[:, i] = step
                inner += (step * worth[:, i])[:, None] * self.h[a + i, a : a + self.size]
        self.steps[:, a : a + self.size] += moved
        return moved, s

    def _fit(self, k: int, a: int, g: Array) -> tuple[Array, Array]:
        """The steps of a block, and what its scale changes by."""
        b = a + self.size
        units = self.unit[a:b] - self.unit[a:b].min()
        steps = self.steps[:, a:b] * _power(units)
        along = steps @ self.h[a:b, a:b]  # NOTE: of integers
        slope, curve = np.zeros(len(steps)), np.zeros(len(steps))
        for i in range(self.size):  # NOTE: numpy's own sums have an order of their own on each CPU
            slope += g[:, i] * steps[:, i]
            curve += along[:, i] * steps[:, i]
        old = self.scales[:, k].copy()
        with np.errstate(all="ignore"):
            better = (old - slope / curve * _power(-self.unit[a:b].min())).astype(np.float32)
        self.scales[:, k] = np.where((curve > 0) & np.isfinite(better), better, old)
        return self.steps[:, a:b], self.scales[:, k] - old


def damping(seen: Gram) -> float:
    """What a diagonal counts more: sums over few rows say little of how columns go together."""
    return DAMPING + len(seen.exponents) / max(1, seen.rows)


def _in_units(seen: Gram, size: int) -> tuple[Array, Array]:
    """The units of the columns, and H in them."""
    diagonal = np.diag(seen.values)
    # half of the binary order of H[k, k]: the order of the column
    order = np.where(diagonal > 0, seen.exponents + np.frexp(diagonal)[1] // 2, LEAST).astype(np.int64)
    if (order == LEAST).all():
        return np.zeros_like(order), np.zeros_like(seen.values)
    highest = np.repeat(order.reshape(-1, size).max(1), size)
    unit = np.maximum(np.maximum(order, highest - SPREAD), order.max() - SPAN)
    h = np.rint(_scaled(seen.values, seen.exponents - unit) * 2.0**GRAM_BITS)
    np.fill_diagonal(h, np.rint(np.diag(h) * (1 + damping(seen))))
    return unit - unit.max(), h


def _product(error: Array, h: Array) -> Array:
    """error h, with errors as integers of ERROR_BITS of the largest of their row."""
    largest = np.abs(error).max(1, initial=0.0)
    places = (np.where(largest > 0, np.frexp(largest)[1], 0) - ERROR_BITS)[:, None]
    return np.asarray((np.rint(error * _power(-places)) @ h) * _power(places))


def _scaled(values: Array, exponents: Array) -> Array:
    """values[k, l] 2^(exponents[k] + exponents[l])."""
    return values * _power(exponents)[:, None] * _power(exponents)


def _power(exponents: Array) -> Array:
    """2^exponents, exact."""
    return np.asarray(np.ldexp(1.0, exponents))
