"""How a graph runs for one set of input shapes: compiled, or on the reference where its shapes depend on data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from ..errors import ModelError
from ..graph import Array, Graph, Kind
from ..instructions.lower import lower
from ..reference import evaluate, retype


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
    if os.environ.get("QGLOW_ENGINE") == "reference":
        return ReferencePlan(graph)
    try:
        static = retype(graph, shapes)
    except ModelError:  # NOTE: a shape that depends on data has no plan; such a model still runs
        return ReferencePlan(graph)
    if any(t.kind is Kind.STRING or not t.is_static for t in static.types.values()):
        return ReferencePlan(graph)
    from ..kernels.library import load
    from .native import NativePlan

    library = load()
    return NativePlan(lower(static, library.isa), library, threads)
