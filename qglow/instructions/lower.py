"""Code generation: a static quantized graph to a program over planned memory, in five pure stages.

    fuse       epilogues of products                                fuse.py
    layouts    how each value lies                                  layout.py
    select     instructions and host steps, over buffers apart      select.py, lower_*.py
    bufferize  live ranges, and instructions that work in place     bufferize.py
    plan       offsets in one arena                                 plan.py

Each stage has a verifier of what holds after it. With QGLOW_VERIFY=2 they run here; whatever it is, a program is proven
before it runs (prove.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod

from ..graph import Graph
from ..graph.dead import remove_dead
from ..graph.rewrite import Fired
from ..graph.verify import verify_level
from ..limits import check_memory
from .bufferize import bufferize
from .derived import Derived
from .fuse import fuse
from .layout import NO_ROOMS, Layouts, Rooms, assign_layouts
from .plan import plan
from .program import Program
from .select import select
from .unsigned import unsigned


def lower(
    graph: Graph, isa: str, derived: Derived | None = None, *, any_length: bool = False, rooms: Rooms = NO_ROOMS
) -> Program:
    """The program of a static graph for an instruction set. derived: what earlier plans of the session made of its
    constants. any_length: nothing follows from the divisors of a size (see along.py). rooms: see Layouts. Raises
    LimitError where a value or the plan is beyond the limit of memory."""
    return _planned(_concrete(graph), isa, (), derived, any_length, rooms)


def lower_observed(graph: Graph, isa: str, names: Iterable[str]) -> Program:
    """The program of a static graph in which every named value is there for a moment (see Program).

    Nothing is fused across such a value; only the graph's own outputs last until the end.
    """
    _check_values(graph)
    made = {o for n in graph.nodes for o in n.outputs if o}
    observed = [n for n in names if n in made]
    return _planned(remove_dead(graph.with_(outputs=tuple(dict.fromkeys((*graph.outputs, *observed))))), isa, observed)


def stages(graph: Graph, isa: str, fired: Fired | None = None) -> Iterator[tuple[str, Graph | Layouts | Program]]:
    """What each stage makes of a static graph, by the stage's name. The last is what `lower` returns. fired: told which
    rewrites did."""
    return _stages(_concrete(graph), isa, (), fired)


def _concrete(graph: Graph) -> Graph:
    """The graph that is lowered: with concrete shapes, what only gave a shape is dead; activations are unsigned."""
    _check_values(graph)
    return unsigned(remove_dead(graph))


def _stages(
    graph: Graph, isa: str, observed: Sequence[str], fired: Fired | None = None, derived: Derived | None = None,
    any_length: bool = False, rooms: Rooms = NO_ROOMS,
) -> Iterator[tuple[str, Graph | Layouts | Program]]:  # fmt: skip
    graph = fuse(graph, isa, fired)
    yield "fuse", graph
    layouts = assign_layouts(graph, rooms)
    yield "layouts", layouts
    selected = select(graph, layouts, isa, observed, derived, any_length)
    yield "select", selected
    bufferized = bufferize(selected)
    yield "bufferize", bufferized
    planned = plan(bufferized)
    check_memory(planned.arena_size + planned.constant_pool_size, f"model {graph.name!r}: the plan of a run")
    yield "plan", planned


def _planned(
    graph: Graph, isa: str, observed: Sequence[str], derived: Derived | None = None, any_length: bool = False,
    rooms: Rooms = NO_ROOMS,
) -> Program:  # fmt: skip
    made = dict(_stages(graph, isa, observed, derived=derived, any_length=any_length, rooms=rooms))
    if verify_level() >= 2:
        from .verify_stages import verify_stages  # NOTE: it is asked for by tests alone

        verify_stages(graph, made)
    program = made["plan"]
    assert isinstance(program, Program)
    return program


def _check_values(graph: Graph) -> None:
    """Raise LimitError where a value by itself is beyond the limit of memory: asked before any rule makes tables or
    masks for it."""
    for node in graph.nodes:
        for o in node.outputs:
            if o and (t := graph.types[o]).is_static:
                check_memory(
                    prod(t.static_shape) * t.dtype.numpy.itemsize,
                    f"node {node.name!r} ({node.operator}): its output {o!r}",
                )
