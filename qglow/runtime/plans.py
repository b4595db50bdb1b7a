"""How a graph runs for one set of input shapes: compiled, as far as shapes go.

Of branches only those that are taken are compiled: a condition that shapes do not decide is computed first, and each of
its values has a plan of its own. Where a shape depends on data the graph is cut (graph/stages.py): what comes before
runs as one program, the node itself on the host, and what follows has a plan for each set of shapes that come out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial

import numpy as np

from ..float_mode import in_usual_mode
from ..graph import Array, DType, Graph, Node
from ..graph.dead import remove_dead
from ..graph.infer import Shapes, Undecided
from ..graph.select_op import has_branches, truth
from ..graph.stages import Stage, before, cut, needed_always, split, with_bounds
from ..instructions.lower import lower
from ..limits import UNIT_PRODUCTS, check_work
from ..ops.control import ONNX
from ..ops.traits import PAIRWISE, SAMPLED, WEIGHTED, WINDOW
from ..reference import evaluate, evaluate_node, retype_known
from .backends import Backend, Executable, NativeBackend, is_reference_only
from .constants import ConstantPool
from .pieces import total, work
from .plan_cache import PlanCache, Plans, WeakPlans

MOST_CHOICES = 6  # conditions decided one after another, each with plans for both: 2 ** 6 of them
FEW = 1 << 16  # elements that a part without products may write and still be left to the reference
OFTEN = 16  # runs for the same shapes after which a part is compiled however little it writes
_NOTHING: Mapping[str, bool] = {}


Plan = Executable


class Planner:
    """What all plans of a session have in common. The cache is the owner's: plans that are made have a planner with a
    weak reference to it."""

    __slots__ = ("backend", "cache", "pool", "threads")

    def __init__(
        self, threads: int, backend: Backend | None = None, cache: Plans | None = None, pool: ConstantPool | None = None
    ) -> None:
        self.threads, self.backend = threads, backend or NativeBackend()
        self.cache: Plans = PlanCache() if cache is None else cache
        self.pool = pool or ConstantPool()

    @in_usual_mode
    def plan(self, graph: Graph, shapes: Shapes, decided: Mapping[str, bool] = _NOTHING, key: Hashable = ()) -> Plan:
        """The plan for concrete input shapes. QGLOW_ENGINE=reference runs everything on the reference.

        Conditions that follow from shapes are decided here, others when they are known: `decided` holds those that are.
        key: what the plans that are made later, for conditions and for shapes that depend on data, are kept by.
        """
        if is_reference_only():
            return ReferencePlan(graph)
        try:
            stage = cut(retype_known(with_bounds(graph), shapes, decided))
        except Undecided as undecided:
            return self._choice(graph, shapes, decided, undecided.condition, key)
        return self.loaded(stage.first) if stage.is_static else StagedPlan(self.for_plans(), stage, decided, key)

    def for_plans(self) -> Planner:
        """The planner of plans that the cache may hold."""
        if not isinstance(self.cache, PlanCache):
            return self
        return Planner(self.threads, self.backend, WeakPlans(self.cache), self.pool)

    def loaded(self, static: Graph) -> Plan:
        """The compiled program of a graph of static types. Raises LimitError where it takes too much memory or work."""
        program = lower(static, self.backend.target(), self.pool.derived)
        check_work(
            total(program, work) // UNIT_PRODUCTS,
            f"model {static.name!r}: a run",
        )
        return self.backend.load(program, self.threads, self.pool)

    def _choice(self, graph: Graph, shapes: Shapes, decided: Mapping[str, bool], condition: str, key: Hashable) -> Plan:
        """The plan for a condition that depends on data; where too many came before it, the reference, which knows them
        all."""
        if len(decided) >= MOST_CHOICES:
            return ReferencePlan(graph)
        asked = remove_dead(graph.with_(outputs=(condition,)))
        if any(n.op == ONNX or n.has(WEIGHTED) for n in asked.nodes):  # better not computed twice, nor on the reference
            known, rest = split(graph, needed_always(graph, condition))
            names = (condition, *(o for o in known.outputs if o != condition))
            first = self.plan(remove_dead(graph.with_(outputs=names)), shapes, decided, (key, condition))
            return SplitPlan(self.for_plans(), graph, first, rest, decided, key, condition)
        first = ReferencePlan(asked)
        cache, make = self.for_plans().cache, partial(self.for_plans()._side, graph, shapes, decided, condition, key)
        return ChoicePlan(
            condition, first, make, lambda: {v: p for v in (False, True) if (p := cache.peek((key, condition, v)))}
        )

    def _side(
        self, graph: Graph, shapes: Shapes, decided: Mapping[str, bool], condition: str, key: Hashable, value: bool
    ) -> Plan:
        side = (key, condition, value)
        return self.cache.get(side) or self.cache.put(
            side, self.plan(graph, shapes, {**decided, condition: value}, side)
        )


def make_plan(graph: Graph, shapes: Shapes, threads: int, backend: Backend | None = None) -> Plan:
    """A plan by itself (see Planner.plan), with a cache of its own for the plans that it makes."""
    planner = Planner(threads, backend)
    plan = planner.plan(graph, shapes)
    if isinstance(plan, ChoicePlan | StagedPlan | SplitPlan):
        plan.owned = planner
    return plan


class ReferencePlan:
    """The law itself: slow, exact."""

    nbytes = 0

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.runs, self.written = 0, 0

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.runs += 1
        self.written = 0
        return own(evaluate(self.graph, feeds, keep=self._count), feeds, self.graph)

    views = run

    def _count(self, name: str, array: Array) -> None:
        if name not in self.graph.inputs and isinstance(array, np.ndarray):
            self.written += array.size


class ChoicePlan:
    """Computes a condition, then runs the plan of what it decides."""

    owned: Planner | None = None

    def __init__(
        self, condition: str, first: Plan, plan_of: Callable[[bool], Plan], made: Callable[[], dict[bool, Plan]]
    ) -> None:
        self.condition, self.first, self.plan_of, self._made = condition, first, plan_of, made

    @property
    def plans(self) -> dict[bool, Plan]:
        """Those that are there, by the condition's value."""
        return self._made()

    @property
    def nbytes(self) -> int:
        return self.first.nbytes

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self.chosen(feeds).run(feeds)

    def views(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self.chosen(feeds).views(feeds)

    def chosen(self, feeds: Mapping[str, Array]) -> Plan:
        """The plan that runs these inputs."""
        return self.plan_of(truth(self.first.run(feeds)[self.condition]))


class StagedPlan:
    """One program, then nodes on the host, then the plan for the shapes that came out."""

    owned: Planner | None = None

    def __init__(self, planner: Planner, stage: Stage, decided: Mapping[str, bool], key: Hashable) -> None:
        self.stage = stage
        self.first = planner.loaded(stage.first) if stage.first.nodes else None
        self._rest = None if stage.rest is None else Rest(planner, stage.rest, decided, key)

    @property
    def nbytes(self) -> int:
        return self.first.nbytes if self.first is not None else 0

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        full_graph, values = self.stage.full_graph, self.known(feeds)
        for _ in self.hosted(values):
            pass
        if self.stage.rest is not None:
            values.update(self.following(values).run(self.inputs_of_rest(values)))
        return own({o: values[o] for o in full_graph.outputs}, feeds, full_graph)

    views = run

    def known(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Constants, inputs, and what the program makes."""
        values = {**self.stage.full_graph.constants, **feeds}
        if self.first is not None:
            values.update(self.first.run({i: feeds[i] for i in self.stage.first.inputs}))
        return values

    def hosted(self, values: dict[str, Array]) -> Iterator[Node]:
        """Compute the nodes on the host, one at a time, and add what they make to the values."""
        for node in self.stage.host:
            results = evaluate_node(self.stage.full_graph, node, [values[i] if i else None for i in node.inputs])
            values.update((o, a) for o, a in zip(node.outputs, results, strict=False) if o)
            yield node

    def inputs_of_rest(self, values: Mapping[str, Array]) -> dict[str, Array]:
        assert self.stage.rest is not None
        return {i: values[i] for i in self.stage.rest.inputs}

    def following(self, values: Mapping[str, Array]) -> Plan:
        """The plan of what follows."""
        assert self._rest is not None
        return self._rest.plan(self.inputs_of_rest(values))


class SplitPlan:
    """The plan of one part of a graph, then that of the rest for the shapes that came out.

    condition: one that the first part computes, and by which the rest is planned.
    """

    owned: Planner | None = None

    def __init__(
        self, planner: Planner, graph: Graph, first: Plan, rest: Graph, decided: Mapping[str, bool], key: Hashable,
        condition: str | None = None,
    ) -> None:  # fmt: skip
        self.graph, self.first, self._condition = graph, first, condition
        self._inputs = rest.inputs
        sides = (False, True) if condition is not None else (None,)
        self._rests = {
            v: Rest(planner, rest, decided if v is None else {**decided, str(condition): v}, (key, condition, v))
            for v in sides
        }

    @property
    def nbytes(self) -> int:
        return self.first.nbytes

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        values = self.known(feeds)
        values.update(self.following(values).run(self.inputs_of_rest(values)))
        return own({o: values[o] for o in self.graph.outputs}, feeds, self.graph)

    views = run

    def known(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Constants, inputs, and what the first part makes."""
        return {**self.graph.constants, **feeds, **self.first.run(feeds)}

    def inputs_of_rest(self, values: Mapping[str, Array]) -> dict[str, Array]:
        return {i: values[i] for i in self._inputs}

    def following(self, values: Mapping[str, Array]) -> Plan:
        """The plan of what follows."""
        value = None if self._condition is None else truth(values[self._condition])
        return self._rests[value].plan(self.inputs_of_rest(values))


class PartedPlan(SplitPlan):
    """A part that is left to the reference, and the plan of what follows."""

    runs = 0

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.runs += 1
        return super().run(feeds)

    views = run


class Rest:
    """The plans of what follows, by the shapes of its inputs.

    Without products it is left to the reference for shapes that are new: many come but once, and to compile would take
    longer, but where boxes are compared with each other, which takes the reference longer than that. It stays so where
    little is written, and the shapes do not come often. What stands before the first product
    of others is left to it in the same way, where its inputs are small.
    """

    nbytes = 0

    def __init__(self, planner: Planner, graph: Graph, decided: Mapping[str, bool], key: Hashable) -> None:
        self._planner, self._graph, self._decided, self._key = planner, graph, decided, key
        self.inputs = graph.inputs
        self._light = not any(_is_product(n) for n in graph.nodes)
        self._slow = any(n.has(SAMPLED) or n.has(WINDOW) for n in graph.nodes)
        self._long = any(n.has(PAIRWISE) for n in graph.nodes)
        early = set[str]() if self._light or has_branches(graph) else before(graph, _is_product)
        self._early = early

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self.plan(feeds).run({i: feeds[i] for i in self.inputs})

    views = run

    def plan(self, feeds: Mapping[str, Array]) -> Plan:
        """The plan for inputs of these shapes and dtypes."""
        feeds = {i: feeds[i] for i in self.inputs}
        key = (self._key, "rest", tuple(described(a) for a in feeds.values()))
        cache = self._planner.cache
        plan = cache.get(key)
        if plan is None:
            rest = as_given(self._graph, feeds)
            if self._light and not self._long:
                return cache.put(key, ReferencePlan(rest))
            is_small = sum(a.size for a in feeds.values() if described(a) is not None) <= FEW
            return cache.put(
                key, self._split(rest, feeds) if self._early and is_small else self._compiled(rest, feeds, key)
            )
        if isinstance(plan, ReferencePlan) and plan.runs == 1 and (self._slow or plan.written > FEW):
            return cache.put(key, self._compiled(plan.graph, feeds, key))
        if isinstance(plan, ReferencePlan | PartedPlan) and plan.runs >= OFTEN:
            return cache.put(key, self._compiled(plan.graph, feeds, key))
        return plan

    def _split(self, rest: Graph, feeds: Mapping[str, Array]) -> PartedPlan:
        """The plan of what stands before the products, and then of the others."""
        key = (self._key, "split", tuple(d and d[1] for d in map(described, feeds.values())))
        early, late = split(rest, self._early)
        first = Rest(self._planner, early, self._decided, (key, "before"))
        return PartedPlan(self._planner, rest, first, late, self._decided, key)

    def _compiled(self, rest: Graph, feeds: Mapping[str, Array], key: Hashable) -> Plan:
        shapes = {n: a.shape if described(a) is not None else None for n, a in feeds.items()}
        return self._planner.plan(rest, shapes, self._decided, key)


def _is_product(node: Node) -> bool:
    return node.has(WEIGHTED)


def described(value: Array) -> tuple[tuple[int, ...], str] | None:
    """Shape and dtype; None for a sequence, for strings and what else has no place in an arena."""
    return (value.shape, value.dtype.str) if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" else None


def as_given(graph: Graph, feeds: Mapping[str, Array]) -> Graph:
    """The graph with its inputs of the dtypes that are given: what the host makes may be of another than was guessed at
    import."""
    types = dict(graph.types)
    for name, value in feeds.items():
        if described(value) is not None and not types[name].is_quantized:
            types[name] = types[name]._replace(dtype=DType.of(value.dtype))
    return graph.with_(types=types)


def own(results: dict[str, Array], feeds: Mapping[str, Array], graph: Graph) -> dict[str, Array]:
    """The results with copies in place of what a caller must not have: parts of its own inputs, of constants, or of
    each other."""
    given = {id(a) for a in (*feeds.values(), *graph.constants.values())}
    owned: dict[str, Array] = {}
    for name, a in results.items():
        shared = isinstance(a, np.ndarray) and (a.base is not None or id(a) in given)
        owned[name] = np.array(a) if shared else a
        given.add(id(owned[name]))
    return owned


def taken(plan: Plan, feeds: Mapping[str, Array]) -> Plan:
    """The plan that runs these inputs, where conditions decide between several."""
    while isinstance(plan, ChoicePlan):
        plan = plan.chosen(feeds)
    return plan
