"""Whether float and int8 choose the same class, and the right one, counted over samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from ..graph import Array
from ..profiling.dataset import Sample


def is_choice(scores: Any) -> bool:
    """Whether an output chooses a class: one score a class, in one row or in the channels of one pixel ([1, C, 1, 1]),
    or one integer, the class itself."""
    if not isinstance(scores, np.ndarray):
        return False
    if scores.dtype.kind in "iu":
        return 1 <= scores.ndim <= 2 and scores.size == 1
    axis = {1: 0, 2: 1, 4: 1, 5: 1}.get(scores.ndim)
    return axis is not None and scores.dtype.kind == "f" and scores.size == scores.shape[axis] > 1


def choice(scores: Array) -> int:
    """The class that an output chooses."""
    if scores.size == 1 and scores.dtype.kind in "iu":
        return int(scores.reshape(-1)[0])
    return int(np.argmax(scores))


@dataclass(slots=True)
class Top1Agreement:
    """Counts of one score output over samples: how often the largest score is at the same place, and at the label.
    lost, won: samples on which float alone is right, and int8 alone."""

    samples: int = 0
    same: int = 0
    labelled: int = 0
    right_fp32: int = 0
    right_int8: int = 0
    lost: int = 0
    won: int = 0
    is_choice: bool = True

    def add(self, real: Array, int8: Array, label: int | None) -> None:
        if not int8.size or not real.size or int8.dtype.kind not in "fiub":
            return
        a, b = choice(real), choice(int8)
        self.samples += 1
        self.is_choice &= is_choice(int8)
        self.same += a == b
        if label is not None:
            self.labelled += 1
            self.right_fp32 += a == label
            self.right_int8 += b == label
            self.lost += a == label != b
            self.won += b == label != a

    def merge(self, other: Top1Agreement) -> None:
        """Add the counts of other samples."""
        for name in ("samples", "same", "labelled", "right_fp32", "right_int8", "lost", "won"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.is_choice &= other.is_choice

    @property
    def drop(self) -> float | None:
        """Of top-1 accuracy below float, in points; None without labels."""
        return 100 * (self.right_fp32 - self.right_int8) / self.labelled if self.labelled else None

    def to_dict(self) -> dict[str, float]:
        result = {"top1_agreement": self.same / max(1, self.samples), "is_choice": self.is_choice}
        if self.labelled:
            result |= {"top1_fp32": self.right_fp32 / self.labelled, "top1_int8": self.right_int8 / self.labelled}
            low, high = lost_interval(self.lost, self.won, self.labelled)
            result |= {"labelled": self.labelled, "lost_low": round(low, 3), "lost_high": round(high, 3)}
        return result


def lost_interval(lost: int, won: int, samples: int) -> tuple[float, float]:
    """Points of accuracy lost, from and to, that so many samples are compatible with, with 95 % confidence: of a
    difference between two shares of the same samples (Agresti and Min, Statistics in Medicine 24, 2005)."""
    n, b, c = samples + 2.0, lost + 0.5, won + 0.5
    middle, spread = (b - c) / n, 1.959964 * ((b + c) - (b - c) ** 2 / n) ** 0.5 / n
    return 100 * (middle - spread), 100 * (middle + spread)


def check_label(sample: Sample, made: Mapping[str, Any]) -> None:
    """Raises DataError for a label that no output of scores has a place for. An integer output names classes, and how
    many is unknown."""
    outputs = made.values()
    scores = [o for o in outputs if isinstance(o, np.ndarray) and o.dtype.kind == "f"]
    named = any(is_choice(o) and o.dtype.kind != "f" for o in outputs)
    most = max((o.size for o in scores), default=0)
    if sample.label is not None and (sample.label < 0 or (sample.label >= most and not named)):
        raise DataError(f"{sample.name}: label {sample.label}, but the outputs have at most {most} scores")
