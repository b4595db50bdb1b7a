"""The profiling engine on compiled kernels: the float graph as a program whose values are observed as they come."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ModelError
from ..graph import Array, Graph, Kind
from ..graph.branches import conditions
from ..reference import evaluate, retype
from ..runtime.watched import WatchedPlan
from .dataset import Feeds

Keep = Callable[[str, Array], None]
Shapes = tuple[tuple[int, ...], ...]


class NativeEngine:
    """Runs samples one after the other. The plan of the last shapes is kept, and no other: memory does not grow with shapes."""

    def __init__(self, graph: Graph, names: list[str]) -> None:
        self.graph, self.names = graph, names
        self._shapes: Shapes | None = None
        self._plan: WatchedPlan | None = None

    def __call__(self, feeds: Feeds, keep: Keep) -> None:
        shapes = tuple(feeds[n].shape for n in self.graph.inputs)
        if shapes != self._shapes:
            self._plan = None  # NOTE: its memory goes before that of the next is taken
            self._plan, self._shapes = self._made(shapes), shapes
        if self._plan is None:
            evaluate(self.graph, feeds, keep=keep)
        else:
            self._plan.watch(feeds, keep)

    def _made(self, shapes: Shapes) -> WatchedPlan | None:
        """None where shapes or branches depend on data, or there are strings: the reference runs such a graph."""
        if conditions(self.graph):
            return None
        try:
            static = retype(self.graph, dict(zip(self.graph.inputs, shapes, strict=True)))
        except ModelError:
            return None
        if any(t.kind is Kind.STRING or not t.is_static for t in static.types.values()):
            return None
        return WatchedPlan(static, self.names)
