"""By which rule ranges are taken, where the configuration leaves it open (`calibration` auto): `mse`, or `minmax` where
samples that calibration did not see have less noise by it, for then largest values come again.

Both are quantized, and compared on samples of the profile before anything else is chosen. `minmax` is taken where the
worst output gains WANTED_DB, and the mean gain of a sample is above its standard error by the factor of gain.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..oracle import Oracle
from ..profiling.dataset import Sample, spread_indices
from ..quantization import QuantState
from .agreement import agreement_with
from .gain import Gain, powers

FEWEST, MOST = 4, 8  # samples
WANTED_DB = 0.5


def choose_ranges(
    start: QuantState, passed: QuantState, quantized: Callable[[QuantState], QuantState], data: Sequence[Sample],
    oracle: Oracle,
) -> tuple[QuantState, QuantState]:  # fmt: skip
    """What quantization begins with, and the result of all passes: those that were given, or those of `minmax`.
    quantized: does all passes."""
    samples = [data[k] for k in spread_indices(len(data), MOST)] if data else []
    if start.config.calibration != "auto" or not start.config.tries or len(samples) < FEWEST:
        return start, passed
    other = replace(start, config=replace(start.config, calibration="minmax"))
    made = quantized(other)
    real = [oracle.outputs(s.feeds) for s in samples]
    found = [powers(agreement_with(s.graph, samples, real)) for s in (passed, made)]
    return (other, made) if Gain(*found).is_sure(WANTED_DB) else (start, passed)
