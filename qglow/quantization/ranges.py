"""Range selection: the real interval that the stored integers of a tensor will cover, from its histogram."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import Array, DType, Quant
from ..profiling.observers import BINS, Observer
from .config import QuantConfig
from .remembered import digest, digest_of, remembered

Range = tuple[float, float]
Through = Callable[[Array], Array]
BEYOND = 2.0  # NOTE: one of 16 bits is well spent on samples that reach further than those of calibration
_RATIOS = np.concatenate([np.linspace(1.0, 0.5, 41), np.linspace(0.48, 0.1, 20)])


def select(o: Observer, config: QuantConfig, through: Through | None = None) -> Range:
    """(low, high) with low <= 0 <= high. through: a function of float64 reals [n], where nothing but its result is
    read."""
    if not o.count:
        return 0.0, 0.0
    method = _METHODS[config.calibration]
    values = _values_through(o, through) if method is _mse and through is not None else None
    key = (method.__name__, config.percentile, digest_of(o), None if values is None else digest(values))
    return remembered(key, lambda: method(o, config, values))


def _minmax(o: Observer, config: QuantConfig, values: Array | None = None) -> Range:
    return min(o.min, 0.0), max(o.max, 0.0)


def _percentile(o: Observer, config: QuantConfig, values: Array | None) -> Range:
    """Cut (100 - percentile) / 2 percent of the values off each end."""
    cumulative = np.cumsum(o.histogram) / o.count
    tail = (1 - config.percentile / 100) / 2
    edges, low, high = o.edges, *_minmax(o, config)
    first, last = int(np.searchsorted(cumulative, tail, "right")), int(np.searchsorted(cumulative, 1 - tail, "left"))
    return max(low, min(0.0, edges[min(first, BINS)])), min(high, max(0.0, edges[min(last + 1, BINS)]))


def _values_through(o: Observer, through: Through) -> Array | None:
    """The function at BINS points from the least to the largest value; None where it does not let the range end
    before."""
    low, high = observed_range(o)
    if high <= low:
        return None
    grid = np.linspace(low, high, BINS)
    values = np.nan_to_num(through(grid), nan=0.0, posinf=1e30, neginf=-1e30)
    return values if _is_flat_at_an_end(grid, values) else None


def _mse(o: Observer, config: QuantConfig, values: Array | None) -> Range:
    """The interval, shrunk from min and max, whose rounding and clipping together have the least squared error, after
    the function. values: `_values_through`."""
    low, high = _minmax(o, config)
    used = np.flatnonzero(o.histogram)
    centres = o.centres[used].clip(low, high)
    counts = o.histogram[used].astype(np.float64)
    grid = np.linspace(low, high, BINS) if values is not None else None
    slope = np.ones(()) if values is None or grid is None else np.interp(centres, grid, np.gradient(values, grid))

    def f(x: Array) -> Array:
        return x if values is None or grid is None else np.asarray(np.interp(x, grid, values))

    real = f(centres)
    scratch = np.empty_like(centres)

    def error(a: float, b: float) -> float:
        step = (b - a) / 255
        if step <= 0:
            return float((counts * (f(np.zeros_like(centres)) - real) ** 2).sum())
        if values is None:
            return _rounding_error(centres, counts, a, b, scratch)
        z = np.rint(-a / step)
        q = np.clip(np.rint(centres / step) + z, 0, 255)
        # NOTE: bins finer than a step stand for values spread over it: step^2/12 inside, the exact distance outside
        inside = (centres >= a) & (centres <= b)
        squared = (real - f((q - z) * step)) ** 2
        squared = np.where(inside, np.maximum(squared, slope * slope * (step * step / 12)), squared)
        return float((counts * squared).sum())

    best = min(((error(low * r, high * r), -r) for r in _RATIOS), default=(0.0, -1.0))
    r_both = -best[1]
    best_high = min((error(low * r_both, high * r), -r) for r in _RATIOS)
    best_low = min((error(low * r, -best_high[1] * high), -r) for r in _RATIOS) if low < 0 else (0.0, -1.0)
    return low * -best_low[1], high * -best_high[1]


def _rounding_error(centres: Array, counts: Array, a: float, b: float, scratch: Array) -> float:
    """`error` of _mse where there is no function: the same operations, in place. centres: ascending."""
    step, d = (b - a) / 255, scratch
    z = np.rint(-a / step)
    np.rint(np.divide(centres, step, out=d), out=d)
    np.multiply(np.minimum(np.maximum(d, -z, out=d), 255 - z, out=d), step, out=d)
    np.subtract(centres, d, out=d)
    np.multiply(d, d, out=d)
    inside = d[np.searchsorted(centres, a) : np.searchsorted(centres, b, "right")]
    np.maximum(inside, step * step / 12, out=inside)
    return float(np.multiply(counts, d, out=d).sum())


def _is_flat_at_an_end(x: Array, y: Array) -> bool:
    """Whether the last quarter below or above zero makes no difference of a 255th of the whole: the range may end
    before it.

    NOTE: of other functions, such as LeakyRelu, the range would be shrunk too, and channels that reach beyond could not
    be balanced.
    """
    ends = [y[x <= 0.75 * x[0]] if x[0] < 0 else y[:0], y[x >= 0.75 * x[-1]] if x[-1] > 0 else y[:0]]
    return any(e.size and np.ptp(e) < np.ptp(y) / 255 for e in ends)


def _entropy(o: Observer, config: QuantConfig, values: Array | None) -> Range:
    """The symmetric cut of the histogram whose 256-level version has the least Kullback-Leibler divergence (as TensorRT
    does)."""
    low, high = _minmax(o, config)
    half = BINS // 2
    magnitude = o.histogram[half:].astype(np.float64) + o.histogram[:half][::-1]
    # NOTE: exact zeros of a ReLU say nothing about the range
    magnitude[0] = min(magnitude[0], np.max(magnitude[1:], initial=0.0))
    levels = 256 if low == 0 else 128
    best, cut = np.inf, half
    for stop in range(levels, half + 1, max(1, half // 128)):
        p = magnitude[:stop].copy()
        p[-1] += magnitude[stop:].sum()
        if p.sum() == 0:
            continue
        level = np.arange(stop) * levels // stop
        total = np.bincount(level, magnitude[:stop], levels)
        live = np.bincount(level, magnitude[:stop] > 0, levels)
        q = np.where(magnitude[:stop] > 0, (total / np.maximum(live, 1))[level], 0)
        mask = (p > 0) & (q > 0)
        if q.sum() == 0:
            continue
        lost = p[(p > 0) & (q == 0)].sum() / p.sum()
        pn, qn = p[mask] / p.sum(), q[mask] / q.sum()
        divergence = float((pn * np.log(pn / qn)).sum()) + 10 * lost
        if divergence < best:
            best, cut = divergence, stop
    reach = cut * o.reach / half
    return max(low, -reach), min(high, reach)


_METHODS: dict[str, Callable[[Observer, QuantConfig, Array | None], Range]] = {
    "auto": _mse, "minmax": _minmax, "percentile": _percentile, "mse": _mse, "entropy": _entropy,
}  # fmt: skip


def observed_range(o: Observer) -> Range:
    """From the least value that was seen to the largest, with 0."""
    return (min(o.min, 0.0), max(o.max, 0.0)) if o.count else (0.0, 0.0)


def int16_quant(low: float, high: float, config: QuantConfig) -> tuple[DType, Quant]:
    """Kind and parameters of int16 that covers BEYOND times [low, high], which is what was seen."""
    return DType.I16, Quant.per_tensor(_rounded(BEYOND * max(-low, high) / 32767, config), 0)


def activation_quant(low: float, high: float, config: QuantConfig, symmetric: bool = False) -> tuple[DType, Quant]:
    """Kind and parameters that cover [low, high]; real 0 is exactly representable. symmetric: the zero point is in the
    middle."""
    if config.activations == "int8" or symmetric:
        dtype, zero = (DType.I8, 0) if config.activations == "int8" else (DType.U8, 128)
        return dtype, Quant.per_tensor(_rounded(max(-low, high) / 127, config), zero)
    scale = _rounded((high - low) / 255, config)
    return DType.U8, Quant.per_tensor(scale, int(np.clip(np.rint(-low / np.float64(np.float32(scale))), 0, 255)))


def _rounded(scale: float, config: QuantConfig) -> float:
    scale = max(float(scale), 2.0**-60)  # NOTE: a tensor that is always zero still needs a scale
    return float(2.0 ** np.ceil(np.log2(scale))) if config.power_of_two else scale
