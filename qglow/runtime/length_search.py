"""The search for one program that runs at many lengths: the graph is typed and lowered at some of them (see
instructions/along.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ..graph import Array, Graph
from ..graph.infer import Typed
from ..graph.moving import Bases, Moving, NotAffine
from ..graph.stages import cut
from ..instructions.along import Along, along
from ..instructions.derived import Derived
from ..instructions.layout import NO_ROOMS, Rooms
from ..instructions.lower import lower
from ..instructions.program import Program
from ..record import NamedTuple
from ..reference import retype_known

Shapes = Mapping[str, tuple[int, ...]]


class LengthProgram(NamedTuple):
    """way: the program, and how it moves; moving: what of the graph does; static: the graph at the last length, whose
    last inputs, `folded`, are folded anew at each length. fixed: what is folded of the length and is the same at those
    that are known, by the names that `moving` has for it. rooms: see Layouts."""

    way: Along
    moving: Moving
    static: Graph
    folded: tuple[str, ...]
    fixed: Mapping[str, Array]
    rooms: Rooms


def typed(graph: Graph, shapes: Shapes) -> Typed:
    return retype_known(graph, shapes, {})


def lowered(graph: Graph, isa: str, derived: Derived, rooms: Rooms) -> Program:
    return lower(graph, isa, derived, any_length=True, rooms=rooms)


def find_program(
    graph: Graph, shapes_at: Callable[[int], Shapes], lengths: tuple[int, int], isa: str, derived: Derived,
    kept: Iterable[str] = (),
) -> LengthProgram:  # fmt: skip
    """The program for the lengths from one to another. shapes_at: those of the inputs. kept: values with room for the
    last length at every length, so that their elements lie where they lie. Raises NotAffine where there is none."""
    search = _Search(graph, shapes_at, isa, derived)
    last = search.typed_at(lengths[-1]).graph.types
    search.rooms = {name: last[name].static_shape for name in kept if last[name].is_static}
    few = _few(*lengths)
    bases = Bases.of([search.typed_at(n).graph for n in few], few)
    try:
        found = search.find(bases)
        if found.way.is_straight:
            return found
    except NotAffine:
        pass
    return search.find(bases._replace(lengths=bases.telling()))


class _Search:
    """The graph as it was typed and lowered at some lengths."""

    def __init__(self, graph: Graph, shapes_at: Callable[[int], Shapes], isa: str, derived: Derived) -> None:
        self.graph, self.shapes_at, self.isa, self.derived = graph, shapes_at, isa, derived
        self.rooms: Rooms = NO_ROOMS
        self._typed: dict[int, Typed] = {}
        self._programs: dict[tuple[int, tuple[str, ...]], Program] = {}

    def typed_at(self, length: int) -> Typed:
        if length not in self._typed:
            self._typed[length] = typed(self.graph, self.shapes_at(length))
        return self._typed[length]

    def find(self, bases: Bases) -> LengthProgram:
        """What the programs at the lengths of `bases` say. Raises NotAffine."""
        every = [self.typed_at(n) for n in bases.lengths]
        stages = [cut(t) for t in every]
        if not all(s.is_static for s in stages):
            raise NotAffine
        moving = Moving(self.graph, [t.graph for t in every], bases)
        statics = _without_moving_constants([s.first for s in stages])
        programs = [self._program(n, static) for n, static in zip(bases.lengths, statics, strict=True)]
        static, of = statics[-1], moving.of
        fixed = {of[n]: a for n, a in static.constants.items() if n in of}
        folded = static.inputs[len(self.graph.inputs) :]
        return LengthProgram(along(programs, bases), moving, static, folded, fixed, self.rooms)

    def _program(self, length: int, static: Graph) -> Program:
        key = length, static.inputs
        if key not in self._programs:
            self._programs[key] = lowered(static, self.isa, self.derived, self.rooms)
        return self._programs[key]


def _few(first: int, last: int) -> tuple[int, int, int]:
    """Lengths that tell a number in proportion to the length from most others: the second is 1 more than a multiple of
    64, or of 16 where they are few."""
    middle = (first + last) // 2
    return first, next(n for n in (middle // 64 * 64 + 1, middle // 16 * 16 + 1) if n > first), last


def _without_moving_constants(graphs: Sequence[Graph]) -> list[Graph]:
    """The graphs with inputs in place of the constants that differ between them."""
    last = graphs[-1]
    if any(g.constants.keys() != last.constants.keys() or g.inputs != last.inputs for g in graphs):
        raise NotAffine
    names = [n for n, a in last.constants.items() if any(not equal(g.constants[n], a) for g in graphs)]
    if any(g.constants[n].dtype.kind == "O" or not g.constants[n].size for n in names for g in graphs):
        raise NotAffine
    return [
        g.with_(inputs=(*g.inputs, *names), constants={n: a for n, a in g.constants.items() if n not in names})
        for g in graphs
    ]


def equal(a: Array, b: Array) -> bool:
    return a is b or (a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
