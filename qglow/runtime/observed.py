"""A program whose values are looked at as they come: what calibration runs a float graph with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy

from ..errors import LimitError
from ..graph import Array, Graph, Node
from ..instructions.lower import lower_observed
from ..kernels.library import load
from ..reference import evaluate
from ..tuning import schedule
from .arenas import Arena
from .native import NativePlan, Segment

Keep = Callable[[str, Array], None]


class InstrumentedExecutable(NativePlan):
    """The plan of a static graph, on one thread. Memory is that of a run, however many values are watched."""

    fast = True

    def __init__(self, graph: Graph, names: Iterable[str]) -> None:
        library = load()
        names = list(names)
        program = lower_observed(graph, library.isa, names)
        program = schedule(program, 1)
        self._fed = [n for n in graph.inputs if n in names]
        self._folded = [(n, graph.constants[n]) for n in names if n in graph.constants]
        super().__init__(program, library, 1)
        self._parts = self._in_parts()

    def watch(self, feeds: Mapping[str, Array], keep: Keep) -> None:
        """Run, and call keep(name, array) for every watched value in the order of the graph. The array is only good in
        the call."""
        for name, array in feeds.items():
            self._views[name][...] = array
        for name in self._fed:
            keep(name, feeds[name])
        for name, array in self._folded:
            keep(name, array)
        for step, names in self._parts:
            if isinstance(step, Segment):
                self._run_alone(step)
                if step.can_fail and self._fault_word[0]:
                    self._fault_word[0] = 0
                    evaluate(self.graph, feeds)
                    raise LimitError(f"model {self.graph.name!r}: a region of more samples than its kernel takes")
            elif step is not None:
                self._run_host(step)
            for name in names:
                keep(name, self._views[name])

    def clone(self) -> InstrumentedExecutable:
        """The same program over an arena of its own, to be run at the same time; constants are shared."""
        other = copy(self)
        other._shared = Arena()
        other._allocate()
        other._bind()
        other._parts = other._in_parts()
        return other

    def _in_parts(self) -> list[tuple[Segment | Node | None, tuple[str, ...]]]:
        """Steps, each with the values that are whole after it."""
        parts: list[tuple[Segment | Node | None, tuple[str, ...]]] = [(None, self.program.moments.get(0, ()))]
        count = 0
        for step in self._segments():
            count += len(step.rows) if isinstance(step, Segment) else 1
            parts.append((step, self.program.moments.get(count, ())))
        return parts
