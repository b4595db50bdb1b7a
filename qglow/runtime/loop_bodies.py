"""The bodies of a session's loops, compiled: a plan for each shape that comes again.

1. The first trips for new shapes are left to the reference: many loops make but a few, and a list that grows has new
   shapes each time.
2. What is the same in every trip and is a constant of the model is a constant of the body too: weights are packed once.
3. A plan spends the work that the reference spent in a trip for these shapes (limits.py): a loop without an end is
   refused after as many.

Bodies have memory of their own, apart from that of the plan that a loop stands in, and a body that holds a loop another
than that one's: each is in the middle of a run while the inner one runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count

from ..errors import QGlowError
from ..fallback import RunBody
from ..graph import Array, DType, Graph, TensorType
from ..graph.dead import remove_dead
from ..limits import spend, spent
from ..ops.control import ONNX
from ..reference import evaluate
from .backends import Backend
from .constants import ConstantPool
from .plans import Plan, Planner, as_given, described

FIRST = 2  # trips of the same shapes that the reference runs
MOST_BODIES = 32
_numbers = count()


def may_loop(graph: Graph) -> bool:
    """Whether a node may have a body."""
    return any(n.op == ONNX for n in graph.nodes)


class LoopBodies:
    """Of one session, for one thread at a time. constants: the model's."""

    def __init__(self, threads: int, backend: Backend, constants: Iterable[Array]) -> None:
        self._threads, self._backend = threads, backend
        self._constants = {id(a): a for a in constants}
        self._levels: list[_Level] = []
        self._depth = 0

    def start(self, graph: Graph, fixed: Mapping[str, Array]) -> RunBody:
        """See fallback.StartBody."""
        constant = {n: a for n, a in fixed.items() if n in graph.inputs and id(a) in self._constants}
        rest = {n: a for n, a in fixed.items() if n in graph.inputs and n not in constant}
        depth = self._depth
        if depth == len(self._levels):
            pool = ConstantPool(self._constants.values())
            self._levels.append(_Level(Planner(self._threads, self._backend, pool=pool)))
        body = self._levels[depth].body(graph, constant)

        def run(feeds: dict[str, Array]) -> dict[str, Array]:
            self._depth = depth + 1
            try:
                return body.run({**feeds, **rest})
            finally:
                self._depth = depth

        return run


class _Level:
    """Bodies that stand equally deep in others: of these one runs at a time."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._bodies: dict[object, _Body] = {}

    def body(self, graph: Graph, constant: Mapping[str, Array]) -> _Body:
        key = id(graph), *((n, id(constant[n])) for n in sorted(constant))
        body = self._bodies.get(key)
        if body is None:
            while len(self._bodies) >= MOST_BODIES:
                del self._bodies[next(iter(self._bodies))]
            body = self._bodies[key] = _Body(self._planner, graph, constant)
        return body


@dataclass
class _Shapes:
    """What is known of a body for one set of shapes. trips: by the reference. units: of work in the last of them."""

    trips: int = 0
    units: int = 0
    compiles: bool = True


class _Body:
    """One body, some of whose inputs are constants. NOTE: the graph is kept, as its caller finds the body by its id."""

    def __init__(self, planner: Planner, graph: Graph, constants: Mapping[str, Array]) -> None:
        self._planner, self.graph, self._number = planner, graph, next(_numbers)
        inputs = tuple(i for i in graph.inputs if i not in constants)
        every = {**graph.constants, **constants}
        # NOTE: as in onnxruntime, what a body says of shapes binds nothing: some exporters declare [1] for a number
        open_ = {n: t if n in every or t.is_quantized else t._replace(shape=None) for n, t in graph.types.items()}
        types = {n: TensorType(DType.of(a.dtype), a.shape) for n, a in constants.items()}
        self._own = remove_dead(graph.with_(inputs=inputs, constants=every, types={**open_, **types}))
        self._shapes: dict[object, _Shapes] = {}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        feeds = {i: feeds[i] for i in self._own.inputs}
        shapes = tuple(map(described, feeds.values()))
        known = self._shapes.get(shapes)
        if known is None:
            if len(self._shapes) >= MOST_BODIES:
                self._shapes.clear()
            known = self._shapes[shapes] = _Shapes()
        if known.trips < FIRST or not known.compiles:
            return self._by_reference(known, feeds)
        cache, key = self._planner.cache, (self._number, shapes)
        plan = cache.get(key) or self._compiled(known, feeds, key)
        if plan is None:
            return self._by_reference(known, feeds)
        spend(known.units, f"model {self.graph.name!r}")
        return plan.run(feeds)

    def _by_reference(self, known: _Shapes, feeds: Mapping[str, Array]) -> dict[str, Array]:
        before = spent()
        made = evaluate(self._own, feeds)
        known.trips, known.units = known.trips + 1, spent() - before
        return made

    def _compiled(self, known: _Shapes, feeds: Mapping[str, Array], key: object) -> Plan | None:
        shapes = {n: a.shape if described(a) is not None else None for n, a in feeds.items()}
        try:
            return self._planner.cache.put(key, self._planner.plan(as_given(self._own, feeds), shapes, key=key))
        except QGlowError:  # NOTE: it takes more memory than there may be, or an op says what is wrong with its inputs
            known.compiles = False
            return None
