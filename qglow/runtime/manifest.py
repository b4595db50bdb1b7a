"""What a bundle says about itself, typed, and checked as it is read: a file from anywhere may say anything."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, TypedDict, cast

from ..arguments import shown
from ..graph.blocks import PRECISIONS, Precision

MOST_BYTES = 1 << 62


class Decision(TypedDict):
    """What became of one node of the float graph, and why, in words."""

    node: str
    op: str
    precision: Precision
    reason: str


class Manifest(TypedDict, total=False):
    """name: of the model. profile: where the ranges come from. config: what was asked for that differs from the
    defaults. float_bytes, int8_bytes: of the constants before and
    after. agreement: int8 beside float on the profile's samples (`Agreement.to_dict()`), None where nothing was
    compared. target: the account of an accuracy target, where there was one. wider: that of wider formats, where int8
    alone was poor. biases: that of biases corrected layer by layer.
    rounding: that of block-wise weights that learned theirs."""

    name: str
    profile: dict[str, Any]
    config: dict[str, Any]
    float_bytes: int
    int8_bytes: int
    decisions: list[Decision]
    agreement: dict[str, Any] | None
    target: dict[str, Any]
    wider: dict[str, Any]
    biases: dict[str, Any]
    rounding: dict[str, Any]


def checked(found: Any) -> Manifest:
    """The manifest, of which every entry is what the declaration says, numbers are finite, and unknown names are kept.
    Raises ValueError with the entry that is not."""
    if not isinstance(found, dict):
        raise ValueError(f"expected a manifest of names and values, got {type(found).__name__}")
    for key, kinds in _KINDS.items():
        if key in found and not isinstance(found[key], kinds):
            raise ValueError(f"manifest: {key} is {shown(found[key])}")
    for key in ("float_bytes", "int8_bytes"):
        size = found.get(key, 0)
        if isinstance(size, bool) or not 0 <= size < MOST_BYTES:
            raise ValueError(f"manifest: {key} is {shown(size)}, not a number of bytes")
    for decision in found.get("decisions", ()):
        _check_decision(decision)
    _check_numbers(found, "manifest")
    return cast(Manifest, found)


_KINDS: Mapping[str, tuple[type, ...]] = {
    "name": (str,), "profile": (dict,), "config": (dict,), "float_bytes": (int,), "int8_bytes": (int,),
    "decisions": (list,), "agreement": (dict, type(None)), "target": (dict,), "wider": (dict,),
    "biases": (dict,), "rounding": (dict,),
}  # fmt: skip


def _check_decision(found: Any) -> None:
    words = isinstance(found, dict) and all(isinstance(found.get(k), str) for k in Decision.__annotations__)
    if not words or found["precision"] not in PRECISIONS:
        raise ValueError(f"manifest: expected a decision of {', '.join(Decision.__annotations__)}, got {shown(found)}")


def _check_numbers(found: Any, where: str) -> None:
    pending = [(where, found)]
    while pending:
        where, value = pending.pop()
        if isinstance(value, dict):
            pending += [(f"{where}.{k}", v) for k, v in value.items()]
        elif isinstance(value, list):
            pending += [(where, v) for v in value]
        elif (isinstance(value, float) and not isfinite(value)) or (isinstance(value, int) and abs(value) > 1 << 63):
            raise ValueError(f"{where} is {shown(value)}")
