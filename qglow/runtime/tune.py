"""Measure how each product of a plan is cut best on this machine: every way in its turn, within the whole network.

An instruction is timed where it stands in the network, for what lies in the caches decides; ways take turns from one
pass to the next, so that what else the machine does falls on all of them. A way is chosen only where it wins over the
rule's again, beside it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..graph import Array
from ..instructions.program import Instruction
from ..instructions.prove import prove
from ..instructions.table import INSTRUCTIONS
from ..instructions.verify_fields import check_hints
from ..kernels.table import accepting
from ..tuning.cost import CostModel, candidates, features
from ..tuning.schedule import (
    KERNEL,
    PRODUCTS,
    Hints,
    ProductShape,
    default_schedule,
    hinted,
    product_shape,
    products,
    with_hints,
)
from .native import NativePlan, Segment

FIRST, SECOND = 6, 24  # passes for each way, among all and among the best
FINALISTS, MARGIN = 3, 0.98
Schedule = tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Trial:
    """One kind of product of a plan. kernels: how many accept it.

    places: how often it stands there. seconds: of each way, over all places."""

    work: ProductShape
    threads: int
    usual: Schedule
    kernels: int = 1
    places: int = 0
    seconds: dict[Schedule, float] = field(default_factory=dict)
    chosen: Schedule = ()

    @property
    def gain(self) -> float:
        """The part of the rule's time that the choice saves."""
        return 1 - self.seconds[self.chosen] / self.seconds[self.usual]


def schedule_of(hints: Hints) -> Schedule:
    return tuple(sorted(hints.items()))


def ways_of(trial: Trial, isa: str) -> list[Schedule]:
    """Every cut of a product with every kernel that accepts it."""
    cuts = candidates(trial.work, trial.threads, isa)
    return [schedule_of(cut | ({KERNEL: k} if k else {})) for k in range(trial.kernels) for cut in cuts]


def try_products(plan: NativePlan) -> list[Trial]:
    """Every kind of product of a plan, tried in every way on copies of its rows.

    Raises VerifyError where the ways that won make a program that is not proven.
    """
    isa, threads = plan.library.isa, plan.threads
    trials: dict[str, Trial] = {}
    places = []
    for step in products(plan.program, PRODUCTS):
        work = product_shape(step, isa)
        usual = schedule_of(default_schedule(work, threads))
        trial = trials.setdefault(work.key, Trial(work, threads, usual, len(list(accepting(step, isa)))))
        trial.places += 1
        places.append(trial)
    ways = {key: list(dict.fromkeys([t.usual, *ways_of(t, isa)])) for key, t in trials.items()}
    _measure(plan, places, ways, FIRST)
    for key, t in trials.items():
        ways[key] = list(dict.fromkeys([t.usual, *sorted(t.seconds, key=t.seconds.__getitem__)[:FINALISTS]]))
    _measure(plan, places, ways, SECOND)
    for key, t in trials.items():
        best = min(ways[key], key=t.seconds.__getitem__)
        t.chosen = best if t.seconds[best] < MARGIN * t.seconds[t.usual] else t.usual
    prove(with_hints(plan.program, [dict(t.chosen) for t in places], PRODUCTS))
    return list(trials.values())


def _measure(plan: NativePlan, places: list[Trial], ways: Mapping[str, list[Schedule]], rounds: int) -> None:
    """Run the network until each product had each of its ways `rounds` times; the minima go into the trials.

    Raises VerifyError for a way that kernels do not take: the plan was proven with others.
    """
    for step, trial in zip(products(plan.program, PRODUCTS), places, strict=True):
        check_hints(step, ({n: v for n, v in way if n != KERNEL} for way in ways[trial.work.key]))
    rows = [row.copy() for s in plan._steps if isinstance(s, Segment) for row in s.rows]
    natives = [s for s in plan.program.steps if isinstance(s, Instruction)]
    places_of = iter(places)
    trial_of = [next(places_of) if s.kind in PRODUCTS else None for s in natives]
    rowwise = [Segment([row], plan.threads) for row in rows]
    fastest: list[dict[Schedule, float]] = [defaultdict(lambda: float("inf")) for _ in rows]
    most = max((len(w) for w in ways.values()), default=0)
    for turn in range(rounds * most):
        for k, (segment, t) in enumerate(zip(rowwise, trial_of, strict=True)):
            if t is None:
                plan._run_segment(segment)
                continue
            choices = ways[t.work.key]
            way = choices[(turn + turn // most) % len(choices)]
            _write(plan, natives[k], rows[k], dict(way))
            start = time.perf_counter()
            plan._run_segment(segment)
            fastest[k][way] = min(fastest[k][way], time.perf_counter() - start)
    sums: dict[str, dict[Schedule, float]] = defaultdict(lambda: defaultdict(float))
    for t, found in zip(trial_of, fastest, strict=True):
        if t is not None:
            for way, seconds in found.items():
                sums[t.work.key][way] += seconds
    for t in places:
        t.seconds |= sums[t.work.key]


def _write(plan: NativePlan, step: Instruction, row: Array, way: Hints) -> None:
    """Have an instruction's row go a way."""
    isa, kind = plan.library.isa, INSTRUCTIONS[step.kind]
    row[0] = plan.library.address(hinted(step, way, isa).kernel)
    for name in kind.hints:
        row[kind.index(name)] = way.get(name, 0)


def learned(trials: list[Trial], isa: str) -> CostModel:
    """The cost model of what was measured, of int8 products or of float ones, on one number of threads."""
    rows, seconds = [], []
    for t in trials:
        for way, spent in t.seconds.items():
            rows.append(features(t.work, dict(way), t.threads, isa))
            seconds.append(spent / t.places)
    return CostModel.learn(rows, seconds)
