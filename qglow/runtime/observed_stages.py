"""A float graph whose shapes depend on data, watched: its first part as a program, then nodes on the host, then what
follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy

import numpy as np

from ..graph import Array, Graph
from ..graph.stages import Stage, cut
from ..ops.traits import WEIGHTED
from ..reference import evaluate, evaluate_node, retype_known
from .observed import InstrumentedExecutable, Keep
from .plans import as_given, described


def instrumented(
    graph: Graph, shapes: Mapping[str, tuple[int, ...] | None], names: Iterable[str]
) -> InstrumentedExecutable | InstrumentedStages:
    """What runs a graph for these input shapes and shows its named values."""
    stage, wanted = cut(retype_known(graph, shapes, {})), list(names)
    return InstrumentedExecutable(stage.first, wanted) if stage.is_static else InstrumentedStages(stage, wanted)


class InstrumentedStages:
    """As WatchedPlan. Plans of what follows are kept for the last shapes alone."""

    def __init__(self, stage: Stage, names: list[str]) -> None:
        self.stage, self.names = stage, names
        first = stage.first
        made = {o for n in first.nodes for o in n.outputs}
        seen = [n for n in names if n in made or n in first.constants]
        self._first = InstrumentedExecutable(first, dict.fromkeys((*seen, *first.outputs))) if first.nodes else None
        self._heavy = stage.rest is not None and any(n.has(WEIGHTED) for n in stage.rest.nodes)
        self._rest: InstrumentedExecutable | InstrumentedStages | None = None
        self._shapes: object = None

    def watch(self, feeds: Mapping[str, Array], keep: Keep) -> None:
        """Run, and call keep(name, array) for every watched value. The array is only good in the call."""
        wanted, values = set(self.names), {**self.stage.full_graph.constants, **feeds}

        def show(name: str, array: Array) -> None:
            if name in wanted and isinstance(array, np.ndarray):
                keep(name, array)

        def hold(name: str, array: Array) -> None:
            if name in self.stage.first.outputs:
                values[name] = np.array(array)
            show(name, array)

        for name, array in feeds.items():
            show(name, array)
        if self._first is not None:
            self._first.watch({i: feeds[i] for i in self.stage.first.inputs}, hold)
        for node in self.stage.host:
            inputs = [values[i] if i else None for i in node.inputs]
            results = evaluate_node(self.stage.full_graph, node, inputs, fast=True)
            for name, array in zip(node.outputs, results, strict=False):
                if name:
                    values[name] = array
                    show(name, array)
        if self.stage.rest is not None:
            self._follow(self.stage.rest, {i: values[i] for i in self.stage.rest.inputs}, show)

    def _follow(self, rest: Graph, feeds: dict[str, Array], show: Keep) -> None:
        def new(name: str, array: Array) -> None:
            if name not in feeds:
                show(name, array)

        if not self._heavy:
            evaluate(rest, feeds, keep=new, fast=True)
            return
        shapes = {n: described(a) for n, a in feeds.items()}
        if self._rest is None or shapes != self._shapes:
            names = [n for n in self.names if n not in feeds]
            self._rest = instrumented(
                as_given(rest, feeds), {n: s[0] if s is not None else None for n, s in shapes.items()}, names
            )
            self._shapes = shapes
        self._rest.watch(feeds, new)

    def clone(self) -> InstrumentedStages:
        """The same over an arena of its own, to be run at the same time."""
        other = copy(self)
        other._first = self._first.clone() if self._first is not None else None
        other._rest = other._shapes = None
        return other
