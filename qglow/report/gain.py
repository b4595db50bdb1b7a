"""Whether a change of a quantized graph gains, sample by sample, more than chance makes."""

from __future__ import annotations

import numpy as np

from ..graph import Array
from .agreement import Agreement
from .comparison import decibels

GAIN_DB, CHANCE = 0.1, 1.7  # NOTE: one gain in twenty is chance alone at 1.7 standard errors
LEAST = 1e-12  # of the signal: less noise is none


def powers(found: Agreement) -> Array:
    """Noise and signal of each sample and output: [2, samples, outputs]. An item that only some samples of a sequence
    have counts for the first ones."""
    result = np.zeros((2, found.samples, len(found.outputs)))
    for k, output in enumerate(found.outputs.values()):
        for row, values in zip(result, output.summed, strict=True):
            row[: len(values), k] = values
    return result


class Gain:
    """before, after: [2, samples, outputs], noise and signal, of the same samples."""

    def __init__(self, before: Array, after: Array) -> None:
        signal = np.maximum(before[1].sum(0), 1e-300)
        shares = before[0] / signal, after[0] / signal  # [samples, outputs], of the whole signal
        self.before_db, self.after_db = (decibels(float(s.sum(0).max())) for s in shares)
        least = LEAST / len(signal)
        one, two = (np.maximum(s.sum(1), least) for s in shares)
        with np.errstate(invalid="ignore"):  # NOTE: of NaN, which is no gain
            self.by_sample = 10 * np.log10(one / two)

    def is_sure(self, wanted_db: float | None = None) -> bool:
        """Whether the worst output gains what is wanted (None: GAIN_DB), and the mean gain of a sample is above its
        standard error by the factor CHANCE."""
        d, wanted = self.by_sample, GAIN_DB if wanted_db is None else wanted_db
        error = float(d.std(ddof=1)) / len(d) ** 0.5
        return self.after_db >= self.before_db + wanted and float(d.mean()) > CHANCE * error
