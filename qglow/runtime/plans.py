"""How a graph runs for one set of input shapes: compiled, or on the reference where its shapes depend on data.

Of branches only those that are taken are compiled: a condition that shapes do not decide is computed first, and each of its values has
a plan of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import ModelError
from ..float_mode import in_usual_mode
from ..graph import Array, Graph, Kind
from ..graph.branches import truth
from ..graph.dead import remove_dead
from ..graph.infer import Undecided
from ..graph.verify import verify_level
from ..instructions.lower import lower
from ..instructions.program import Program
from ..reference import evaluate, retype

if TYPE_CHECKING:
    from ..tuning import Chooser

# what a condition is better not computed from on the reference
HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Onnx")
MOST_CHOICES = 6  # conditions decided one after another, each with plans for both: 2 ** 6 of them
_NOTHING: Mapping[str, bool] = {}


class Plan(Protocol):
    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; the arrays are the caller's."""
        ...


class ReferencePlan:
    """The law itself: slow, exact."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return {name: np.array(value) for name, value in evaluate(self.graph, feeds).items()}  # NOTE: views of inputs, and constants


class ChoicePlan:
    """Computes a condition, then runs the plan of what it decides: each made when it is first needed."""

    def __init__(self, condition: str, first: Plan, make: Callable[[bool], Plan]) -> None:
        self.condition, self.first, self.make = condition, first, make
        self.plans: dict[bool, Plan] = {}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self.chosen(feeds).run(feeds)

    def chosen(self, feeds: Mapping[str, Array]) -> Plan:
        """The plan that runs these inputs, made where it is missing."""
        value = truth(self.first.run(feeds)[self.condition])
        if value not in self.plans:
            self.plans[value] = self.make(value)
        return self.plans[value]


def taken(plan: Plan, feeds: Mapping[str, Array]) -> Plan:
    """The plan that runs these inputs, where conditions decide between several."""
    while isinstance(plan, ChoicePlan):
        plan = plan.chosen(feeds)
    return plan


@in_usual_mode
def make_plan(
    graph: Graph,
    shapes: Mapping[str, tuple[int, ...]],
    threads: int,
    decided: Mapping[str, bool] = _NOTHING,
    choose: Chooser | None = None,
) -> Plan:
    """The plan for concrete input shapes. QGLOW_ENGINE=reference runs everything on the reference.

    Conditions that follow from shapes are decided here, others when they are known: `decided` holds those that are. choose: how products
    get their hints, by default as `qglow tune` found out, or by the rule where it never ran.
    """
    if os.environ.get("QGLOW_ENGINE") == "reference":
        return ReferencePlan(graph)
    try:
        static = retype(graph, shapes, decided)
    except ModelError:  # NOTE: a shape that depends on data has no plan; such a model still runs
        return ReferencePlan(graph)
    except Undecided as undecided:
        return _choice(graph, shapes, threads, decided, undecided.condition, choose)
    if any(t.kind is Kind.STRING or not t.is_static for t in static.types.values()):
        return ReferencePlan(graph)
    from ..kernels.library import load
    from ..tuning import chooser, schedule
    from .native import NativePlan, team_size

    library = load()
    program = lower(static, library.isa)
    team = team_size(program, threads)
    schedule(program, team, choose or chooser(library.isa))
    return NativePlan(checked(program), library, team)


def _choice(
    graph: Graph,
    shapes: Mapping[str, tuple[int, ...]],
    threads: int,
    decided: Mapping[str, bool],
    condition: str,
    choose: Chooser | None,
) -> Plan:
    """The plan for a condition that depends on data; where too many came before it, the reference, which knows them all."""
    if len(decided) >= MOST_CHOICES:
        return ReferencePlan(graph)
    asked = remove_dead(graph.with_(outputs=(condition,)))
    first = make_plan(asked, shapes, threads, decided, choose) if any(n.op in HEAVY for n in asked.nodes) else ReferencePlan(asked)
    return ChoicePlan(condition, first, lambda value: make_plan(graph, shapes, threads, {**decided, condition: value}, choose))


def checked(program: Program) -> Program:
    """At QGLOW_VERIFY 2: the program proven (instructions/verify.py), and its text parsed back equal. Raises VerifyError, ModelError.

    NOTE: not at 1: it takes about half as long as making the plan.
    """
    if verify_level() >= 2:
        from ..instructions.text import check_program_text
        from ..instructions.verify import verify_program

        check_program_text(verify_program(program))
    return program
