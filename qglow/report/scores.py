"""Scores of a user's metrics, of float and of int8 on the same samples, and how sure the difference is.

The interval is a bootstrap over samples, drawn for float and int8 alike (see interval.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError, QGlowError, in_one_line
from ..record import NamedTuple
from ..words import counted

Metric = Callable[[Sequence[Mapping[str, Any]], Sequence[Any]], float]
RESAMPLES = 200


class MetricReport(NamedTuple):
    """A metric of float and of int8, and the interval of int8 less fp32, with 95 % confidence; None of one sample."""

    name: str
    fp32: float
    int8: float
    low: float | None = None
    high: float | None = None


class TargetScore(NamedTuple):
    """A metric of float and of int8, and by how much int8 is worse, beside what it may be at most."""

    name: str
    fp32: float
    int8: float
    drop: float
    max_drop: float

    def to_dict(self) -> dict[str, float | None]:
        """What is not finite is None."""
        return {k: round(v, 6) + 0.0 if isfinite(v) else None for k, v in (("fp32", self.fp32), ("int8", self.int8))}


def scores_said(metric: Mapping[str, float | None]) -> str:
    """A metric in an account: `0.91, of float 0.94`."""
    int8 = metric["int8"]
    return f"{'not finite' if int8 is None else f'{int8:g}'}, of float {metric['fp32']:g}"


class Scores:
    """Outputs of all samples, kept for metrics. labels: what belongs to each sample, in order."""

    def __init__(self, metrics: Mapping[str, Metric], labels: Sequence[Any]) -> None:
        for name, metric in metrics.items():
            if not isinstance(name, str) or not callable(metric):
                raise ConfigError("metrics must be {name: function of (outputs, labels)}")
        self.metrics, self.labels = dict(metrics), labels
        self.real: list[Mapping[str, Any]] = []
        self.made: list[Mapping[str, Any]] = []

    def add(self, real: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        self.real.append(dict(real))
        self.made.append(dict(made))

    def merge(self, other: Scores) -> None:
        """Add the outputs of the next samples."""
        self.real += other.real
        self.made += other.made

    def figures(self) -> list[MetricReport]:
        """Raises DataError where there is not one label a sample, ConfigError for a metric that fails."""
        if len(self.labels) != len(self.real):
            raise DataError(f"{counted(len(self.labels), 'label')} for {counted(len(self.real), 'sample')}")
        return [self._of(name, metric) for name, metric in self.metrics.items()]

    def _of(self, name: str, metric: Metric) -> MetricReport:
        everything = range(len(self.real))
        real, made = self._score(name, metric, self.real, everything), self._score(name, metric, self.made, everything)
        if len(self.real) < 2:
            return MetricReport(name, real, made)
        rng, changes = np.random.default_rng(0), []
        for _ in range(RESAMPLES):
            drawn = rng.integers(len(self.real), size=len(self.real)).tolist()
            changes.append(self._score(name, metric, self.made, drawn) - self._score(name, metric, self.real, drawn))
        low, high = np.quantile(changes, (0.025, 0.975))
        return MetricReport(name, real, made, float(low), float(high))

    def _score(self, name: str, metric: Metric, outputs: Sequence[Mapping[str, Any]], chosen: Sequence[int]) -> float:
        score = score_of(name, metric, [outputs[k] for k in chosen], [self.labels[k] for k in chosen])
        if not isfinite(score):
            raise ConfigError(f"metric {name!r} gave {score}")
        return score


def score_of(name: str, metric: Metric, outputs: Sequence[Mapping[str, Any]], labels: Sequence[Any]) -> float:
    """What the metric gives. Raises ConfigError where it fails."""
    try:
        return float(metric(outputs, labels))
    except QGlowError:
        raise
    except Exception as error:  # NOTE: a caller's function may fail with anything
        raise ConfigError(f"metric {name!r} failed: {type(error).__name__}: {in_one_line(error)}") from error
