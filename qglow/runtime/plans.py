"""How a graph runs for one set of input shapes: compiled, or on the reference where its shapes depend on data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from ..errors import ModelError
from ..graph import Array, Graph, Kind
from ..graph.verify import verify_level
from ..instructions.lower import lower
from ..instructions.program import Program
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
    return NativePlan(checked(lower(static, library.isa)), library, threads)


def checked(program: Program) -> Program:
    """At QGLOW_VERIFY 2: the program proven (instructions/verify.py), and its text parsed back equal. Raises VerifyError, ModelError.

    NOTE: not at 1: it takes about half as long as making the plan.
    """
    if verify_level() >= 2:
        from ..instructions.text import check_program_text
        from ..instructions.verify import verify_program

        check_program_text(verify_program(program))
    return program
