"""Metrics of a task, for `qglow.compare(..., metrics={...})` and, as a `Target`, for `qglow.quantize(..., target=...)`:
each is a function metric(outputs, labels) -> float.

outputs: of each sample {output name: array}. labels: what belongs to each sample, in the same order; what a label is,
the metric says. Any other callable of this form will do. A larger number is better, but for `character_error_rate` and
`perplexity`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arguments import number_of, shown
from .errors import ConfigError, DataError
from .words import counted

Array = NDArray[Any]
Outputs = Sequence[Mapping[str, Any]]
Metric = Callable[[Outputs, Sequence[Any]], float]


@dataclass(frozen=True, slots=True)
class Target:
    """A metric by which int8 may be worse than float by `max_drop` at most, in the metric's own unit. labels: what
    belongs to each sample of `check`, in order. name: in messages and in the bundle's account. Raises ConfigError,
    DataError."""

    metric: Metric
    labels: Sequence[Any]
    max_drop: float = 0.0
    smaller_is_better: bool = False
    name: str = "metric"

    def __post_init__(self) -> None:
        if not callable(self.metric):
            raise ConfigError(f"a target's metric must be a function of (outputs, labels), got {shown(self.metric)}")
        if isinstance(self.labels, (str, bytes, Mapping)) or not isinstance(self.labels, (Iterable, np.ndarray)):
            raise DataError(f"a target's labels must be a list, one a sample; got {shown(self.labels)}")
        if not 0 <= number_of(self.max_drop, "max_drop") < np.inf:
            raise ConfigError(f"max_drop must be 0 or more, got {shown(self.max_drop)}")
        object.__setattr__(self, "labels", tuple(self.labels))


def top_k(output: str, k: int = 1) -> Metric:
    """The share of samples whose label, a class, is among those with the k largest scores. Of equal scores the first
    counts as the largest."""

    def metric(outputs: Outputs, labels: Sequence[Any]) -> float:
        found = [label in np.argsort(-np.ravel(o[output]), kind="stable")[:k] for o, label in _pairs(outputs, labels)]
        return float(np.mean(found))

    return metric


def mean_iou(output: str, classes: int, axis: int = 1) -> Metric:
    """Intersection over union of each class, over the pixels of all samples, averaged over the classes that are there.
    output: scores with the classes along `axis`, or integers, the classes themselves. A label is an integer array of
    the classes; pixels of another number, such as 255, do not count."""

    def metric(outputs: Outputs, labels: Sequence[Any]) -> float:
        counts = np.zeros((classes, classes), np.int64)
        for o, label in _pairs(outputs, labels):
            scores, wanted = np.asarray(o[output]), np.asarray(label).ravel()
            got = (scores.argmax(axis) if scores.dtype.kind == "f" else scores).ravel()
            if got.shape != wanted.shape:
                raise DataError(f"mean_iou: {counted(got.size, 'element')} for a label of {wanted.size}")
            known = (wanted >= 0) & (wanted < classes)
            np.add.at(counts, (wanted[known], got[known]), 1)
        both, either = np.diag(counts), counts.sum(0) + counts.sum(1) - np.diag(counts)
        return float((both[either > 0] / either[either > 0]).mean()) if either.any() else 1.0

    return metric


def box_agreement(decode: Callable[[Mapping[str, Any]], Array], iou: float = 0.5) -> Metric:
    """F1 score of boxes: 2 matched / (found + wanted), over all samples. decode: outputs of a sample -> [n, 5 or 6],
    x1, y1, x2, y2, score, and a class where there are some. A label is [n, 4 or 5]: a box, and its class. The boxes
    with the highest scores choose first, each the wanted box of its class that it overlaps most, by at least `iou`."""

    def metric(outputs: Outputs, labels: Sequence[Any]) -> float:
        matched = total = 0
        for o, label in _pairs(outputs, labels):
            found, wanted = _rows(decode(o), 5), _rows(label, 4)
            matched += _matched(found, wanted, iou)
            total += len(found) + len(wanted)
        return 2 * matched / total if total else 1.0

    return metric


def character_error_rate(decode: Callable[[Mapping[str, Any]], str]) -> Metric:
    """Insertions, deletions and substitutions over the number of characters of the labels, which are texts. decode:
    outputs of a sample -> its text (`greedy_ctc`)."""

    def metric(outputs: Outputs, labels: Sequence[Any]) -> float:
        pairs = [(decode(o), str(label)) for o, label in _pairs(outputs, labels)]
        return sum(_edits(got, wanted) for got, wanted in pairs) / max(1, sum(len(wanted) for _, wanted in pairs))

    return metric


def greedy_ctc(output: str, alphabet: str, blank: int = 0) -> Callable[[Mapping[str, Any]], str]:
    """The text of scores [1, steps, classes] (or [steps, 1, classes]): the best class of each step, repeated ones once,
    blanks left out. alphabet: the characters of the classes, with any character at the place of the blank."""

    def decode(outputs: Mapping[str, Any]) -> str:
        scores = np.asarray(outputs[output])
        best = scores.reshape(-1, scores.shape[-1]).argmax(-1)
        return "".join(alphabet[c] for k, c in enumerate(best) if c != blank and (k == 0 or c != best[k - 1]))

    return decode


def perplexity(output: str) -> Metric:
    """e to the mean of -log p of the labels' tokens. output: logits [..., tokens, vocabulary]. A label is an integer
    array [..., tokens], of which negative ones do not count."""

    def metric(outputs: Outputs, labels: Sequence[Any]) -> float:
        total, count = 0.0, 0
        for o, label in _pairs(outputs, labels):
            logits, tokens = np.asarray(o[output], np.float64), np.asarray(label)
            if logits.shape[:-1] != tokens.shape:
                raise DataError(f"perplexity: logits {list(logits.shape)} for a label {list(tokens.shape)}")
            above = logits - logits.max(-1, keepdims=True)
            log_p = above - np.log(np.exp(above).sum(-1, keepdims=True))
            chosen = np.take_along_axis(log_p, np.maximum(tokens, 0)[..., None], -1)[..., 0]
            total, count = total - float(chosen[tokens >= 0].sum()), count + int((tokens >= 0).sum())
        return float(np.exp(min(700.0, total / max(1, count))))

    return metric


def noise_by_step(real: Sequence[Array], made: Sequence[Array], axis: int | None = None) -> Array:
    """Signal to noise in dB of each step of a stream, at most 200: float64 [steps]. real, made: the arrays of the
    steps, of float and of int8; with an axis, of sequences whose steps lie along it, over all of which is summed."""
    if len(real) != len(made):
        raise DataError(f"noise_by_step: {len(real)} arrays beside {len(made)}")
    if axis is None:
        real, made = [np.stack([np.ravel(a) for a in real])], [np.stack([np.ravel(a) for a in made])]
    signal, noise = (
        sum(np.moveaxis(np.square(x, dtype=np.float64), axis or 0, 0).reshape(x.shape[axis or 0], -1).sum(1) for x in p)
        for p in (real, [np.subtract(a, b, dtype=np.float64) for a, b in zip(real, made, strict=True)])
    )
    shares = np.maximum(np.asarray(noise), 1e-300) / np.maximum(np.asarray(signal), 1e-300)
    found: Array = np.clip(-10 * np.log10(shares), -200, 200)
    return found


def _pairs(outputs: Outputs, labels: Sequence[Any]) -> list[tuple[Mapping[str, Any], Any]]:
    if len(outputs) != len(labels) or not len(outputs):
        given = f"{counted(len(labels), 'label')} for {counted(len(outputs), 'sample')}"
        raise DataError(f"a metric needs a label a sample: {given}")
    return list(zip(outputs, labels, strict=True))


def _rows(boxes: Any, least: int) -> Array:
    rows = np.asarray(boxes, np.float64).reshape(-1, np.shape(boxes)[-1] if np.size(boxes) else least)
    if not least <= rows.shape[1] <= least + 1:
        more = counted(least + 1, "number")
        raise DataError(f"box_agreement: expected rows of {least} or {more}, got {rows.shape[1]}")
    return rows


def _matched(found: Array, wanted: Array, iou: float) -> int:
    """How many of the found boxes [n, 5 or 6] have a wanted one [m, 4 or 5] for themselves."""
    free, count = np.ones(len(wanted), bool), 0
    for box in found[np.argsort(-found[:, 4], kind="stable")]:
        overlaps = np.where(free, _overlaps(box, wanted), 0.0)
        if len(box) == 6 and wanted.shape[1] == 5:
            overlaps = np.where(wanted[:, 4] == box[5], overlaps, 0.0)
        if len(overlaps) and overlaps.max() >= iou:
            free[int(overlaps.argmax())] = False
            count += 1
    return count


def _overlaps(box: Array, others: Array) -> Array:
    """Intersection over union of a box with each of the others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])
    both = np.maximum(high - low, 0).prod(1)
    areas = (others[:, 2:4] - others[:, :2]).prod(1) + (box[2:4] - box[:2]).prod() - both
    shares: Array = both / np.maximum(areas, 1e-300)
    return shares


def _edits(a: str, b: str) -> int:
    """The Levenshtein distance of two texts."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
