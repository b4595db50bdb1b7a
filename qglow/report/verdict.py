"""Whether a quantized model agrees with its float one: the one rule that `quantize`, accuracy targets and reports
share.

An output disagrees where
1. an element is NaN or infinite on one side alone, or most samples have another shape: whatever floor is asked for;
2. its noise share is above what the floor leaves: 10^(-floor / 10), of the signal, or of the number of elements for
   integers.

An output that is zero throughout in float has no signal to compare with, and is held to rule 1 alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..words import counted
from .comparison import Comparison, Equality, Error, decibels


def complaints(outputs: Mapping[str, Comparison], floor_db: float) -> dict[str, str]:
    """What is wrong, in words, by the name of the output: empty where int8 agrees with float to `floor_db`."""
    found = {}
    for name, output in outputs.items():
        said = output.fault or _below(output, floor_db)
        if said:
            found[name] = said
    return found


def worst_db(outputs: Mapping[str, Comparison]) -> float:
    """The ratio of the worst output in dB, 200 where there is none."""
    return min((decibels(o.noise_share) for o in outputs.values()), default=200.0)


def described(output: Mapping[str, Any]) -> str:
    """A compared output, as its `to_dict()`, in a few words."""
    if "sqnr_db" in output:
        said = [f"{output['sqnr_db']:.1f} dB, cosine {output['cosine']:.5f}"]
    else:
        said = [f"{output['equal']:.1%} of the elements equal"]
    if "not_finite" in output:
        said.append(f"{counted(output['not_finite'], 'element')} NaN or infinite on one side alone")
    if "other_shape" in output:
        said.append(f"another shape than in float on {counted(output['other_shape'], 'sample')}")
    return "; ".join(said)


def _below(output: Comparison, floor_db: float) -> str | None:
    silent = isinstance(output, Error) and output.signal == 0
    if silent or decibels(output.noise_share) >= floor_db:
        return None
    if isinstance(output, Equality):
        return f"{output.share:.1%} of its elements are equal (at least {1 - 10 ** (-floor_db / 10):.1%} wanted)"
    return f"{decibels(output.noise_share):.1f} dB (at least {floor_db:g} wanted)"
