"""The profiling engine on compiled kernels: the float graph as a program whose values are observed as they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..fallback import StartBody, bodies_run_by
from ..graph import Array, Graph
from ..graph.select_op import conditions
from ..reference import evaluate
from ..runtime.backends import NativeBackend, is_reference_only
from ..runtime.loop_bodies import LoopBodies, may_loop
from ..runtime.observed import InstrumentedExecutable
from ..runtime.observed_stages import InstrumentedStages, instrumented
from ..threads import helped, lanes
from .dataset import Feeds

Keep = Callable[[str, Array], None]
Job = tuple[Feeds, Keep]
Shapes = tuple[tuple[int, ...], ...]
Watched = InstrumentedExecutable | InstrumentedStages


class NativeEngine:
    """Runs as many samples at once as it has lanes. Plans of the last shapes are kept, and no others: memory does not
    grow with shapes."""

    def __init__(self, graph: Graph, names: list[str]) -> None:
        self.graph, self.names = graph, names
        self.lanes = 1 if conditions(graph) else lanes()
        self._shapes: Shapes | None = None
        self._plans: list[Watched] = []
        self._bodies: list[LoopBodies] = []

    @property
    def runs_kernels_alone(self) -> bool:
        """Whether nothing of the last run was computed on the host."""
        plans = self._plans
        return bool(plans) and isinstance(plans[0], InstrumentedExecutable) and not plans[0].has_host_steps

    def run(self, jobs: Sequence[Job]) -> None:
        """At most `lanes` jobs, all of the same shapes. Raises the error of the first that has one."""
        shapes = tuple(jobs[0][0][n].shape for n in self.graph.inputs)
        if shapes != self._shapes:
            self._plans = []  # NOTE: their memory goes before that of the next is taken
            self._plans, self._shapes = self._made(shapes), shapes
        if not self._plans:
            for feeds, keep in jobs:
                with bodies_run_by(self._start_body(0)):
                    evaluate(self.graph, feeds, keep=keep, fast=True)
            return
        while len(self._plans) < len(jobs):
            self._plans.append(self._plans[0].clone())
        errors: dict[int, Exception] = {}
        bodies = [self._start_body(k) for k in range(len(self._plans))]
        plans, left = iter(list(zip(self._plans, bodies, strict=True))), iter(range(len(jobs)))

        def work() -> None:
            plan, start_body = next(plans)  # NOTE: a thread has one to itself
            for k in left:
                try:
                    with bodies_run_by(start_body):
                        plan.watch(*jobs[k])
                except Exception as error:
                    errors[k] = error

        try:
            helped(work, len(jobs) - 1)
        except BaseException:  # NOTE: an interrupt; others may still be at work in the memory of these plans
            self._plans, self._shapes = [], None
            raise
        if errors:
            raise errors[min(errors)]

    def _start_body(self, lane: int) -> StartBody | None:
        """What runs the bodies of loops in one lane."""
        if not may_loop(self.graph) or is_reference_only():
            return None
        while len(self._bodies) <= lane:
            self._bodies.append(LoopBodies(1, NativeBackend(), self.graph.constants.values()))
        return self._bodies[lane].start

    def _made(self, shapes: Shapes) -> list[Watched]:
        """One plan; none where branches depend on data: the reference runs such a graph."""
        if conditions(self.graph) or is_reference_only():
            return []
        return [instrumented(self.graph, dict(zip(self.graph.inputs, shapes, strict=True)), self.names)]
