"""What comparing a bundle with float has shown. What single samples showed merges, in their order, to the numbers that
one after the other gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..profiling.dataset import Sample
from .agreement import Agreement, merge_each
from .comparison import Error
from .distribution import Distribution
from .scores import Scores
from .top1 import Top1Agreement
from .worst_samples import WorstSamples


@dataclass(slots=True)
class Found:
    """Of the samples so far. inside: of those that layers are compared on; own: errors of layers alone; spread: how the
    values of layers lie; scores: keeps all outputs, where metrics want them; shapes: of the first sample's inputs."""

    farthest: WorstSamples
    votes: dict[str, Top1Agreement]
    scores: Scores | None = None
    agreement: Agreement = field(default_factory=Agreement)
    inside: Agreement = field(default_factory=Agreement)
    own: dict[str, Error] = field(default_factory=dict)
    spread: dict[str, Distribution] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def merge(self, other: Found, sample: Sample | None = None) -> None:
        """Add what the next sample showed. sample: itself, where it is here."""
        self.farthest.merge(other.farthest, sample)
        for name, vote in other.votes.items():
            self.votes[name].merge(vote)
        if self.scores is not None and other.scores is not None:
            self.scores.merge(other.scores)
        self.agreement.merge(other.agreement)
        self.inside.merge(other.inside)
        merge_each(self.own, other.own)
        for name, one in other.spread.items():
            if name in self.spread:
                self.spread[name].merge(one)
            else:
                self.spread[name] = one
        self.shapes = self.shapes or other.shapes
