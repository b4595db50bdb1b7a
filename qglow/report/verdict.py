"""Whether a quantized model agrees with its float one: the one rule that `quantize`, accuracy targets and reports
share.

An output disagrees where
1. an element is NaN or infinite on one side alone, or most samples have another shape: whatever floor is asked for;
2. its noise share is surely above what the floor leaves: 10^(-floor / 10), of the signal, or of the number of elements
   for integers. Surely: the whole interval that the samples are compatible with (interval.py) is; of fewer samples than
   an interval can be made of, all together and more than half of them by themselves are.

Where a part of the interval is above the floor, the samples are too few to tell. An output that is zero throughout in
float, here and over the data, has no signal to compare with, and is held to rule 1 alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..words import counted
from .comparison import Comparison, Equality, Error, decibels, interval_db
from .interval import MANY


def complaints(outputs: Mapping[str, Comparison], floor_db: float) -> dict[str, str]:
    """What is wrong, in words, by the name of the output: empty where int8 agrees with float to `floor_db`."""
    found = {}
    for name, output in outputs.items():
        said = output.fault or _below(output, floor_db)
        if said:
            found[name] = said
    return found


def doubts(outputs: Mapping[str, Comparison], floor_db: float) -> dict[str, str]:
    """Outputs of which the samples are too few to say whether they agree to `floor_db`, and why, in words."""
    found = {}
    for name, output in outputs.items():
        low, high = interval_db(output)
        unsure = low < floor_db <= high and not _below(output, floor_db)
        if unsure and not output.fault and not _is_silent(output):
            found[name] = f"{low:.1f} to {high:.1f} dB (at least {floor_db:g} wanted)"
    return found


def worst_db(outputs: Mapping[str, Comparison]) -> float:
    """The ratio of the worst output in dB, 200 where there is none."""
    return min((decibels(o.noise_share) for o in outputs.values()), default=200.0)


def described(output: Mapping[str, Any]) -> str:
    """A compared output, as its `to_dict()`, in a few words."""
    if "sqnr_db" in output:
        said = [f"{output['sqnr_db']:.1f} dB{_interval(output)}, cosine {output['cosine']:.5f}"]
    else:
        said = [f"{output['equal']:.1%} of the elements equal{_interval(output)}"]
    if "low_db" in output:
        said.append(f"worst sample {output['worst_sample_db']:.1f} dB")
    if "not_finite" in output:
        said.append(f"{counted(output['not_finite'], 'element')} NaN or infinite on one side alone")
    if "other_shape" in output:
        said.append(f"another shape than in float on {counted(output['other_shape'], 'sample')}")
    return "; ".join(said)


def _interval(output: Mapping[str, Any]) -> str:
    return f" ({output['low_db']:.1f} to {output['high_db']:.1f} dB)" if "low_db" in output else ""


def _below(output: Comparison, floor_db: float) -> str | None:
    if _is_silent(output) or not _is_surely_below(output, floor_db):
        return None
    if isinstance(output, Equality):
        return f"{output.share:.1%} of its elements are equal (at least {1 - 10 ** (-floor_db / 10):.1%} wanted)"
    return f"{decibels(output.noise_share):.1f} dB (at least {floor_db:g} wanted)"


def _is_surely_below(output: Comparison, floor_db: float) -> bool:
    if decibels(output.noise_share) >= floor_db:
        return False
    noise, signal = output.by_sample
    if len(noise) >= MANY:
        return interval_db(output)[1] < floor_db
    return 2 * sum(decibels(n / max(s, 1e-300)) < floor_db for n, s in zip(noise, signal, strict=True)) > len(noise)


def _is_silent(output: Comparison) -> bool:
    return isinstance(output, Error) and output.signal == 0 and not output.mean_power
