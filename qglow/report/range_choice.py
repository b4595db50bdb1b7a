"""By which rule ranges are taken, where the configuration leaves it open (`calibration` auto): `mse`, or `minmax` where
samples that calibration did not see have less noise by it, for then largest values come again.

1. Where the profile held samples back, both are quantized, and compared on these before anything else is chosen.
   `minmax` is taken where the worst output gains WANTED_DB, and the mean gain of a sample is above its standard error
   by the factor of gain.py.
2. Of a small data set, all of which calibrates, `mse` has the least noise by its nature. There both are finished, with
   their own biases and wider formats, and cross-validated: without the samples that calibration saw, and with what is
   corrected later, it shows which is better. `minmax` is taken where the worst output and the mean sample gain, and is
   worth the time that its wider formats take more, as in widen.py.
   Where that would take long (SECONDS, estimated from sizes), the samples that were seen are compared as in 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..graph import Graph
from ..oracle import Oracle
from ..profiling import Profile
from ..profiling.dataset import Sample, spread_indices
from ..profiling.samples import kept_dataset
from ..quantization import QuantState
from .agreement import Agreement, agreement_with
from .effort import seconds_of
from .format_time import sizes
from .gain import Gain, powers
from .judging import CROSS_VALIDATION, FOLDS, Grounds, powers_of
from .widen import POOR_DB, RATE

FEWEST, MOST = 4, 8  # samples
WANTED_DB = 0.5
SECONDS = 1.0  # of a run of the reference over all samples; cross-validation takes several times as long


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


def cross_validated(recorded: Profile, graph: Graph) -> Grounds | None:
    """The samples of a small data set, all of which calibrated, to choose ranges by in cross-validation; None where
    there are not so few, fewer than FOLDS, or it would take long."""
    seen = None if recorded.held_back else kept_dataset(recorded.kept, graph)
    if seen is None or not len(seen) == recorded.samples >= FOLDS:
        return None
    made = [o for n in graph.nodes for o in n.outputs if o]
    if len(seen) * seconds_of(graph, made, sizes(graph, next(iter(seen)).feeds)) > SECONDS:
        return None
    return Grounds(CROSS_VALIDATION, seen, powers_of(recorded, graph))


def is_better(before: Agreement, after: Agreement, more_percent: float = 0.0) -> bool:
    """Whether both the worst output over all samples and the mean sample gain; from POOR_DB on, the worst output what
    so many percent more time are worth. before, after: of the same samples."""
    gain = Gain(powers(before), powers(after))
    wanted = max(0.0, RATE * more_percent) if gain.before_db >= POOR_DB else 0.0
    return gain.after_db > gain.before_db + wanted and float(gain.by_sample.mean()) > 0
