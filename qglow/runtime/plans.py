"""How a graph runs for one set of input shapes: compiled where it can be, on the reference where its shapes depend on data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..graph import Array, Graph
from ..reference import evaluate


class Plan(Protocol):
    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name."""
        ...


class ReferencePlan:
    """The law itself: slow, exact."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return evaluate(self.graph, feeds)


def make_plan(graph: Graph, shapes: Mapping[str, tuple[int, ...]], threads: int) -> Plan:
    """The plan for concrete input shapes. QGLOW_ENGINE=reference runs everything on the reference."""
    return ReferencePlan(graph)
