"""Whether float and int8 choose the same class, and the right one, counted over samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph import Array


def is_choice(scores: Any) -> bool:
    """Whether an output chooses a class: one score a class in one row, or one integer, the class itself."""
    if not isinstance(scores, np.ndarray):
        return False
    if scores.dtype.kind in "iu":
        return 1 <= scores.ndim <= 2 and scores.size == 1
    return scores.dtype.kind == "f" and 1 <= scores.ndim <= 2 and scores.size == scores.shape[-1] > 1


def choice(scores: Array) -> int:
    """The class that an output chooses."""
    if scores.size == 1 and scores.dtype.kind in "iu":
        return int(scores.reshape(-1)[0])
    return int(np.argmax(scores))


@dataclass(slots=True)
class Top1Agreement:
    """Counts of one score output over samples: how often the largest score is at the same place, and at the label."""

    samples: int = 0
    same: int = 0
    labelled: int = 0
    right_fp32: int = 0
    right_int8: int = 0
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

    @property
    def drop(self) -> float | None:
        """Of top-1 accuracy below float, in points; None without labels."""
        return 100 * (self.right_fp32 - self.right_int8) / self.labelled if self.labelled else None

    def to_dict(self) -> dict[str, float]:
        result = {"top1_agreement": self.same / max(1, self.samples), "is_choice": self.is_choice}
        if self.labelled:
            result |= {"top1_fp32": self.right_fp32 / self.labelled, "top1_int8": self.right_int8 / self.labelled}
        return result
