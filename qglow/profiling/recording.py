"""What a part of the samples has shown. Parts merge exactly, in any order, however the samples are cut: counts, ranges
and sums are exact, and what is known of single samples is kept by their positions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .dataset import Sample
from .observer_record import observer_of, record_of
from .observers import Observer

Choices = dict[str, tuple[int, int]]


@dataclass(slots=True)
class Recording:
    """tensors: statistics by name. choices: how often each condition was false, and true. digests: of each sample's
    inputs, and bad: what is wrong with a sample that was left out, by position."""

    tensors: dict[str, Observer] = field(default_factory=dict)
    choices: Choices = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)

    def merge(self, other: Recording) -> Recording:
        """What both have shown. No sample may be in both."""
        tensors = dict(self.tensors)
        for name, o in other.tensors.items():
            tensors[name] = tensors[name].merge(o) if name in tensors else o
        choices = dict(self.choices)
        for name, (falses, trues) in other.choices.items():
            before = choices.get(name, (0, 0))
            choices[name] = before[0] + falses, before[1] + trues
        return Recording(tensors, choices, self.digests | other.digests, self.bad | other.bad)

    def through(self, position: int) -> Recording:
        """Without what was read of samples beyond a position. NOTE: another thread may be reading more of them."""
        known = ({p: v for p, v in d.copy().items() if p <= position} for d in (self.digests, self.bad))
        return Recording(self.tensors, self.choices, *known)

    def hash_of_data(self) -> str:
        """Of the samples in the order of their positions."""
        return hashlib.sha256("".join(self.digests[p] for p in sorted(self.digests)).encode()).hexdigest()[:32]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "tensors": {n: record_of(o) for n, o in self.tensors.items() if not o.is_empty},
            "choices": {n: list(c) for n, c in self.choices.items()},
            "digests": [[p, d] for p, d in self.digests.items()],
            "bad": [[p, said] for p, said in self.bad.items()],
        }

    @staticmethod
    def of(raw: Mapping[str, Any]) -> Recording:
        """From plain data. Raises ValueError, KeyError or TypeError where it is malformed."""
        return Recording(
            {str(n): observer_of(o) for n, o in raw["tensors"].items()},
            {str(n): counts_of(c) for n, c in raw["choices"].items()},
            {int(p): str(d) for p, d in raw["digests"]},
            {int(p): str(said) for p, said in raw["bad"]},
        )


def counts_of(raw: Any) -> tuple[int, int]:
    """How often a condition was false, and true, from plain data."""
    falses, trues = (int(v) for v in raw)
    if falses < 0 or trues < 0:
        raise ValueError("a condition that was seen less than never")
    return falses, trues


def digest_of(sample: Sample) -> str:
    """Hash of a sample's inputs: names, shapes, dtypes and values."""
    digest = hashlib.sha256()
    for name, array in sorted(sample.feeds.items()):
        digest.update(f"{name}{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
