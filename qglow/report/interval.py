"""How sure a ratio over samples is: an interval, and how many new samples may be worse than the worst that was seen.

From MANY samples on, the interval of noise over signal, both summed over all samples, is a bootstrap percentile
interval over samples (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13), widened for few
samples as Hesterberg does (*What Teachers Should Know About the Bootstrap*, 2015, section 4.2). Of fewer samples it is
the range of their own ratios, which holds the median with a probability of 1 - 2^(1 - n) (David and Nagaraja, *Order
Statistics*, 2003, section 7.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, sqrt

import numpy as np

from ..graph import Array

MANY = 8
RESAMPLES, CONFIDENCE = 1000, 0.95
Z = 1.959964  # of the normal distribution, two-sided, for CONFIDENCE


def share_interval(noise: Sequence[float], signal: Sequence[float]) -> tuple[float, float]:
    """The least and the largest noise over signal that the samples are compatible with. noise, signal: of each
    sample."""
    n, s = np.array(noise, np.float64), np.array(signal, np.float64)
    compared = (n > 0) | (s > 0)
    n, s = n[compared], s[compared]
    if not n.size:
        return 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        if len(n) < MANY:
            shares, tail = n / np.maximum(s, 1e-300), 0.0
        else:
            shares, tail = _resampled(n, s), _expanded_tail(len(n))
    low, high = np.quantile(np.nan_to_num(shares, nan=1e20, posinf=1e20), (tail, 1 - tail))
    return float(low), float(high)


def worse_share(samples: int) -> float:
    """The share of new samples that may be worse than the worst of so many, with 95 % confidence: the largest p with
    (1 - p)^samples at least 0.05 (Wilks, 1941)."""
    return 1.0 - (1.0 - CONFIDENCE) ** (1.0 / max(1, samples))


def _resampled(noise: Array, signal: Array) -> Array:
    """Ratios of the sums over RESAMPLES drawings with replacement, always the same ones."""
    rng, count = np.random.default_rng(0), len(noise)
    at_once = max(1, min(RESAMPLES, (1 << 20) // count))
    found: list[Array] = []
    for k in range(0, RESAMPLES, at_once):
        drawn = rng.integers(count, size=(min(at_once, RESAMPLES - k), count))
        found.append(noise[drawn].sum(1) / np.maximum(signal[drawn].sum(1), 1e-300))
    return np.concatenate(found)


def _expanded_tail(count: int) -> float:
    """The quantile for one end: what the t distribution and the spread of few samples ask for."""
    z = sqrt(count / (count - 1)) * _t(count - 1)
    return 0.5 * erfc(z / sqrt(2))


def _t(freedom: int) -> float:
    """The two-sided quantile of Student's t (Abramowitz and Stegun, 26.7.5)."""
    v = float(freedom)
    return (
        Z
        + (Z**3 + Z) / (4 * v)
        + (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * v**2)
        + (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / (384 * v**3)
    )
