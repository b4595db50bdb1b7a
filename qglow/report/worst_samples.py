"""The samples on which int8 is farthest from float: those that change the chosen class first, then those of most
noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..graph import Graph
from ..profiling.dataset import Sample
from .comparison import Comparison, Error, comparison_of, decibels
from .figures import SampleReport
from .pictures import picture_of
from .stored import as_real
from .top1 import choice, is_choice

MOST = 12


@dataclass(slots=True)
class WorstSamples:
    """The worst of the samples so far, of which no array is kept. types: of the graph's inputs. draws: whether a sample
    has its picture as soon as it is added. powers: the sum of each output's squares and how many they are, so that
    noise counts beside the mean power where a sample is almost silent."""

    graph: Graph
    types: Mapping[str, object]
    most: int = MOST
    draws: bool = True
    powers: dict[str, tuple[float, int]] = field(default_factory=dict)
    found: list[tuple[SampleReport, dict[str, tuple[Comparison, int]]]] = field(default_factory=list)

    def add(self, sample: Sample, real: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        """Add one sample: the outputs of float and of int8 by name."""
        compared = dict[str, tuple[Comparison, int]]()
        choices: tuple[int | None, int | None] = None, None
        for name in self.graph.outputs:
            one, size = comparison_of(real[name]), int(np.size(real[name]))
            one.add(real[name], as_real(self.graph, name, made[name]))
            compared[name] = one, size
            if isinstance(one, Error):
                power, elements = self.powers.get(name, (0.0, 0))
                self.powers[name] = power + one.signal, elements + size
            if choices == (None, None) and is_choice(real[name]) and is_choice(made[name]):
                choices = (choice(real[name]), choice(made[name]))
        if all(one.noise_share == 0 for one, _ in compared.values()):
            return
        row = SampleReport(sample.name, 0.0, "", sample.label, *choices)
        if self._enter(row, compared) and self.draws:
            self._draw(sample)

    def _draw(self, sample: Sample) -> None:
        """Give the last one its picture."""
        row, compared = self.found[-1]
        self.found[-1] = row._replace(picture=picture_of(sample.feeds, self.types)), compared

    def apart(self) -> WorstSamples:
        """What was found, without the graph: as it is sent."""
        return replace(self, graph=Graph("", (), (), (), {}, {}), types={})

    def merge(self, other: WorstSamples, sample: Sample | None = None) -> None:
        """Add the next sample, of which `other` knows alone. sample: itself, where it has no picture yet."""
        for name, (power, elements) in other.powers.items():
            before = self.powers.get(name, (0.0, 0))
            self.powers[name] = before[0] + power, before[1] + elements
        for row, compared in other.found:
            if self._enter(row, compared) and sample is not None:
                self._draw(sample)

    def _enter(self, row: SampleReport, compared: dict[str, tuple[Comparison, int]]) -> bool:
        """Whether a sample is among the worst, and is kept."""
        self.found.append((row, compared))
        if len(self.found) > self.most:
            ranks = [(_rank(self._figures(*pair)), k) for k, pair in enumerate(self.found)]
            del self.found[max(ranks)[1]]
        return self.found[-1][0] is row

    def figures(self) -> list[SampleReport]:
        """The farthest from float first."""
        return sorted((self._figures(*pair) for pair in self.found), key=_rank)

    def _figures(self, row: SampleReport, compared: Mapping[str, tuple[Comparison, int]]) -> SampleReport:
        ratios = {name: self._ratio_db(name, *one) for name, one in compared.items()}
        worst = min(ratios, key=ratios.__getitem__)
        return row._replace(sqnr_db=round(ratios[worst], 3), output=worst)

    def _ratio_db(self, name: str, one: Comparison, size: int) -> float:
        if isinstance(one, Error) and one.noise_share < 1e20:
            power, elements = self.powers[name]
            return decibels(one.noise / max(one.signal, power / max(1, elements) * size, 1e-300))
        return decibels(one.noise_share)


def _rank(row: SampleReport) -> tuple[bool, float]:
    return not row.changed, row.sqnr_db
