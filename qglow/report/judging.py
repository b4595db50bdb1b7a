"""The samples that quantization is judged by: such as took no part in calibration, wherever there are any.

1. Samples that the caller gives.
2. Samples that the profile held back (profiling/samples.py).
3. Of a small data set, all samples by cross-validation: each of FOLDS folds is judged on a graph that is quantized, in
   the same way, by the statistics of the others.
4. Where nothing else is there, samples that calibration saw. They show what is broken, not what is good.

A sample that is nearly silent has no ratio of its own: the profile knows each output's mean power over the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph import Graph
from ..oracle import Oracle
from ..profiling import Profile
from ..profiling.dataset import Dataset
from ..profiling.samples import FEWEST, kept_dataset
from .agreement import Agreement, measure

GIVEN = "samples that were given"
HELD_BACK = "samples that were held back from calibration"
CROSS_VALIDATION = "all samples of the profile, by cross-validation"
SEEN = "samples that calibration saw"
FOLDS, MOST = 4, 64


@dataclass(frozen=True, slots=True)
class Grounds:
    """how: one of the four. data: the samples. powers: mean power of an element over the calibration data, by
    output. chosen_by: those that something was chosen by, and that are not among `data`."""

    how: str
    data: Dataset
    powers: Mapping[str, float]
    chosen_by: Dataset | None = None

    def divided(self) -> Grounds:
        """Half of the samples to choose by, and the others to judge."""
        chosen_by, data = halves(self.data)
        return replace(self, data=data, chosen_by=chosen_by)


def grounds_of(given: Dataset | None, recorded: Profile | None, graph: Graph) -> Grounds | None:
    """What to judge by; None where there are no samples. given: the caller's, None for the profile's."""
    powers = powers_of(recorded, graph) if recorded is not None else {}
    if given is not None:
        return Grounds(GIVEN, given, powers)
    if recorded is None:
        return None
    if (held := kept_dataset(recorded.held_back, graph)) is not None:
        return Grounds(HELD_BACK, held, powers)
    seen = kept_dataset(recorded.kept, graph)
    if seen is None:
        return None
    kept_all = len(seen) == recorded.samples >= FEWEST
    return Grounds(CROSS_VALIDATION if kept_all else SEEN, seen, powers)


def halves(data: Dataset) -> tuple[Dataset, Dataset]:
    """The samples that something is chosen by, and those that judge it: every other one. Of one sample both are that
    one."""
    return replace(data, sources=data.sources[::2]), replace(data, sources=data.sources[1::2] or data.sources)


def powers_of(recorded: Profile, graph: Graph) -> dict[str, float]:
    """Mean power of an element over the data, by output of float type."""
    observed = recorded.matched(graph)
    found = {o: observed[o].mean_power for o in graph.outputs if o in observed}
    return {o: power for o, power in found.items() if np.isfinite(power)}


def powers_in(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Those that a bundle keeps; none where it was made without a profile, or by a version that kept none."""
    found = (manifest.get("profile") or {}).get("powers", {})
    rows = found.items() if isinstance(found, dict) else ()
    return {str(o): float(p) for o, p in rows if isinstance(p, (int, float)) and p >= 0}


def left_out(grounds: Grounds, number: int, profile_of: Callable[[Dataset], Profile]) -> tuple[Profile, Dataset]:
    """The statistics of all folds but one, and the samples of that one. profile_of: records samples."""
    folds = [replace(grounds.data, sources=grounds.data.sources[k::FOLDS]) for k in range(FOLDS)]
    first, *others = (profile_of(fold) for k, fold in enumerate(folds) if k != number)
    for other in others:
        first = first.merge(other)
    return first, folds[number]


def cross_validate(
    grounds: Grounds, profile_of: Callable[[Dataset], Profile], quantized: Callable[[Profile], Graph], oracle: Oracle
) -> Agreement:
    """Every sample compared with float by a graph whose calibration did not see it, fold after fold. profile_of:
    records samples, and is asked for the same ones several times. quantized: the graph by the statistics of a
    profile."""
    result = Agreement()
    for number in range(FOLDS):
        recorded, fold = left_out(grounds, number, profile_of)
        measure(oracle, quantized(recorded), fold, grounds.powers, result)
    return result


def noisiest_fold(found: Agreement) -> int:
    """Of what `cross_validate` found: the fold that has most of the noise of the worst output."""
    worst = max(found.outputs.values(), key=lambda o: o.noise_share)
    noise = np.array(worst.summed[0], np.float64)
    sizes = [len(range(k, len(noise), FOLDS)) for k in range(FOLDS)]
    return int(np.argmax([part.sum() for part in np.split(noise, np.cumsum(sizes)[:-1])]))


def gain_of_samples(before: Agreement, after: Agreement) -> float:
    """Mean over the samples of what their noise, over all outputs, went down in dB: no single sample decides it."""
    shares = []
    for found in (before, after):
        rows = [np.array(o.summed, np.float64) for o in found.outputs.values()]
        shares.append(np.sum([n / max(float(s.sum()), 1e-300) for n, s in rows], axis=0))
    least = 1e-12 / max(1, len(shares[0]))
    return float(np.mean(10 * np.log10(np.maximum(shares[0], least) / np.maximum(shares[1], least))))
