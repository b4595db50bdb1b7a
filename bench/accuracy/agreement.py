"""Signal and noise of every output on every sample, and what is said of them: means, the worst, an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
MOST, SILENT, DRAWS = 120.0, 0.01, 400


def powers(true: Sequence[Array], got: Sequence[Array]) -> tuple[list[float], list[float]]:
    """Signal and noise of each output of one sample. Of what is not of floats: elements, and how many differ."""
    signal, noise = [], []
    for t, g in zip(true, got, strict=True):
        t, g = np.asarray(t), np.asarray(g)
        if t.shape != g.shape:
            pair = float(t.size), float(t.size)
        elif t.dtype.kind != "f":
            pair = float(t.size), float((t != g).sum())
        else:
            both = np.isfinite(t) & np.isfinite(g)
            a, b = t[both].astype(np.float64), g[both].astype(np.float64)
            broken = (np.isfinite(t) != np.isfinite(g)).any()
            pair = float((a * a).sum()), 1e30 if broken else float(((a - b) ** 2).sum())
        signal.append(pair[0])
        noise.append(pair[1])
    return signal, noise


def decibels(signal: Array, noise: Array) -> Array:
    """10 log10 of the ratio, at most MOST; MOST where there is neither."""
    ratio = np.where(noise > 0, np.maximum(signal, 1e-300) / np.where(noise > 0, noise, 1), np.inf)
    return np.asarray(np.clip(10 * np.log10(ratio), -MOST, MOST))


@dataclass(frozen=True, slots=True)
class Found:
    """mean: of the outputs' ratios, each pooled over the samples; low, high: where the mean lies in 90 of 100 draws of
    the samples; worst_output; worst_sample: of all outputs, where a sample that is almost silent counts as a hundredth
    of the mean signal. score: mean over the samples, with its interval; None without one."""

    mean: float
    low: float
    high: float
    worst_output: float
    worst_sample: float
    score: tuple[float, float, float] | None


def summary(signal: Array, noise: Array, scores: Sequence[float] | None) -> Found:
    """signal, noise: [samples, outputs]."""
    used = signal.sum(0) > 0
    s, n = (signal[:, used], noise[:, used]) if used.any() else (signal, noise)
    pooled = decibels(s.sum(0), n.sum(0))
    draws = np.random.default_rng(5).integers(0, len(s), (DRAWS, len(s)))
    means = [decibels(s[d].sum(0), n[d].sum(0)).mean() for d in draws]
    least = np.maximum(s, SILENT * s.mean(0))
    by_sample = decibels(least, n).mean(1)
    score = None
    if scores is not None:
        values = np.asarray(scores, np.float64)
        drawn = values[draws].mean(1)
        score = (float(values.mean()), float(np.quantile(drawn, 0.05)), float(np.quantile(drawn, 0.95)))
    low, high = np.quantile(means, (0.05, 0.95))
    return Found(float(pooled.mean()), float(low), float(high), float(pooled.min()), float(by_sample.min()), score)
