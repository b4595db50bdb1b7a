"""One program that runs at many lengths: bound once, at the largest, and moved to another by adding to its words.

A length is let in when the types at it are found to be what they should (graph/moving.py), and the program at it is
proven (instructions/prove_lengths.py). What is folded of shapes alone, positions and masks, is computed then, and comes
in as an input does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import VerifyError
from ..graph import Array, Graph
from ..graph.infer import Typed
from ..graph.moving import Moving, NotAffine
from ..graph.stages import cut
from ..graph.verify import verify_level
from ..instructions.along import along
from ..instructions.lower import lower
from ..instructions.program import CONSTANTS, HostCall, Instruction, Program, TensorView
from ..instructions.prove_lengths import LengthsProof
from ..instructions.table import INSTRUCTIONS
from ..kernels.table import kernel_of
from ..limits import UNIT_PRODUCTS, check_memory, check_work
from ..reference import retype_known
from .backends import Backend
from .constants import ConstantPool
from .native import NativePlan, Rows, Segment
from .pieces import total, work

Shapes = Mapping[str, tuple[int, ...]]


def _typed(graph: Graph, shapes: Shapes) -> Typed:
    return retype_known(graph, shapes, {})


class LengthTemplate:
    """The plans of a graph from one length to another. moves: of each input the dimensions that grow with the length.

    Raises NotAffine where there is no such program, and what planning raises.
    """

    def __init__(
        self, graph: Graph, shapes: Sequence[Shapes], lengths: Sequence[int], backend: Backend, threads: int,
        pool: ConstantPool,
    ) -> None:  # fmt: skip
        """shapes: of the inputs, at some lengths in ascending order; the template is for those from the first to the
        last."""
        self.lengths, self._isa, self._pool = (lengths[0], lengths[-1]), backend.target(), pool
        typed = [_typed(graph, s) for s in shapes]
        stages = [cut(t) for t in typed]
        if not all(s.is_static for s in stages):
            raise NotAffine
        self._moving = Moving(graph, [t.graph for t in typed], lengths)
        statics = _without_moving_constants([s.first for s in stages])
        self._folded = statics[-1].inputs[len(graph.inputs) :]
        of = self._moving.of
        self._fixed = {of[n]: a for n, a in statics[-1].constants.items() if n in of}
        programs = [self._lowered(s) for s in statics]
        self.way = along(programs, lengths)
        self._statics = statics[-1]
        self._memory = programs[-1].arena_size + programs[-1].constant_pool_size
        self._work = total(programs[-1], work) // UNIT_PRODUCTS
        self._check_limits()
        bound = backend.load(programs[-1], threads, pool)
        if not isinstance(bound, NativePlan):
            raise NotAffine
        self.bound, self.way = bound, self.way._replace(program=bound.program)
        self._proof = LengthsProof(self.way)
        if not self._proof.is_proven:
            raise NotAffine
        self.names = {*bound.graph.inputs, *bound.graph.outputs, *self._proof.values}  # of which plans have views
        self.read = _buffers_read(bound.program)
        self._at: int | None = None
        self._words: list[tuple[Array, Array, Array, Array]] = []
        self._bound_to: object = None

    def _lowered(self, graph: Graph) -> Program:
        return lower(graph, self._isa, self._pool.derived)

    def _check_limits(self) -> None:
        """Raise LimitError where the program at the largest length takes too much."""
        check_memory(self._memory, f"model {self._statics.name!r}: the plan of a run")
        check_work(self._work, f"model {self._statics.name!r}: a run")

    @property
    def nbytes(self) -> int:
        return self.bound.nbytes

    def plan(self, shapes: Shapes, length: int) -> LengthPlan:
        """The plan for a length. Raises NotAffine where the program is not proven at it."""
        self._check_limits()
        folded = self._moving.at(shapes, length, _typed)
        if not all(_equal(folded[name], a) for name, a in self._fixed.items()):
            raise NotAffine  # NOTE: one that is equal at the lengths that were lowered, and not at this one
        values = {name: folded[self._moving.of[name]] for name in self._folded}
        graph, places = self.way.graph_at(length, self.names), self.way.places_at(length, self.names)
        steps = self.way.steps_at(length, self._proof.steps)
        for step in steps.values():
            kernel_of(step, self._isa)
        if not self._proof.holds_at(steps, places, graph):
            raise NotAffine
        made = LengthPlan(self, length, graph, places, values)
        if verify_level() >= 2:
            self._check_afresh(made, shapes, values)
        return made

    def _check_afresh(self, made: LengthPlan, shapes: Shapes, values: Mapping[str, Array]) -> None:
        """Raise VerifyError where planning for this length alone gives another program, and what the exact proof
        raises."""
        from ..instructions.verify import verify_program  # NOTE: at the higher levels of verification alone

        verify_program(made.program)
        fresh = cut(_typed(self._moving.full_graph, shapes)).first
        constants = {n: a for n, a in fresh.constants.items() if n not in values}
        again = self._lowered(fresh.with_(inputs=self._statics.inputs, constants=constants))
        pairs = [(_numbers(a), _numbers(b)) for a, b in zip(again.steps, made.program.steps, strict=True)]
        wrong = [pair for pair in pairs if pair[0] != pair[1]]
        if wrong or _places(again) != _places(made.program):
            raise VerifyError(f"length {made.length}: planned afresh, the program is another: {wrong[:1]}")
        for n, a in {**self._statics.constants, **values}.items():
            if n not in fresh.constants or not _equal(a, fresh.constants[n]):
                raise VerifyError(f"length {made.length}: planned afresh, the constant {n!r} is another")

    def point_at(self, length: int) -> None:
        """Have the program's words be those of a length."""
        if self._bound_to is not self.bound._steps:
            self._words, self._bound_to, self._at = self._moving_words(), self.bound._steps, None
        if self._at != length:
            self._at = None  # NOTE: where what follows is interrupted, all of it is done again
            for words, index, last, slopes in self._words:
                words[index] = last + slopes * (length - self.way.length)
            self._at = length

    def _moving_words(self) -> list[tuple[Array, Array, Array, Array]]:
        """Of each segment its words, and of those that move their places, what they are at the last length, and what
        they grow by."""
        found, k, steps = [], 0, self.bound.program.steps
        for segment in self.bound._steps:
            if not isinstance(segment, Segment):
                k += 1
                continue
            rows = segment.rows
            assert isinstance(rows, Rows)
            moves = [
                (first + INSTRUCTIONS[step.kind].index(name), by)
                for j, first in enumerate(rows.firsts)
                if k + j in self.way.steps and isinstance(step := steps[k + j], Instruction)
                for group in self.way.steps[k + j]
                for name, by in group.items()
            ]
            k += len(rows)
            if moves:
                index, slopes = np.array(moves, np.int64).T
                found.append((rows.words, index, rows.words[index], slopes))
        return found


class LengthPlan(NativePlan):
    """The plan of one length, which has nothing of its own but the views of what comes in and goes out."""

    def __init__(
        self, template: LengthTemplate, length: int, graph: Graph, places: Mapping[str, TensorView],
        folded: Mapping[str, Array],
    ) -> None:  # fmt: skip
        self.template, self.length = template, length
        bound = template.bound
        self.graph, self._places = graph, places
        self.library, self.threads, self.constants = bound.library, bound.threads, bound.constants
        self._shared, self._execute = bound._shared, bound._execute
        self._folded = [(n, a) for n, a in folded.items() if places[n].buffer in template.read]
        self._look()

    @property
    def program(self) -> Program:  # type: ignore[override]
        """The program at this length."""
        return self.template.way.at(self.length)

    def _look(self) -> None:
        bound = self.template.bound
        self._own, self.arena, self.scratch = bound._own, bound.arena, bound.scratch
        self._views = {n: self._view_of(n) for n in self._places}
        self._outputs = [(n, self._views.get(n)) for n in self.graph.outputs]
        self._take(bound._steps)

    def _view_of(self, name: str) -> Array:
        place, bound = self._places[name], self.template.bound
        if place.buffer == CONSTANTS or bound._own:
            return bound._view(place)
        if 0 in place.shape:
            return place.view(bound.arena)
        at = bound.program.buffers[place.buffer].offset + place.start
        return np.ndarray(place.shape, place.dtype, bound.arena, at, place.strides)

    def refresh(self) -> None:
        """Move to where the session's memory is now, and the program to this length."""
        bound = self.template.bound
        bound.refresh()
        if self._steps is not bound._steps:
            self._look()
        self.template.point_at(self.length)

    def _compute(self, feeds: Mapping[str, Array]) -> None:
        super()._compute({**feeds, **dict(self._folded)} if self._folded else feeds)

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for _, a in self._folded)


def _without_moving_constants(graphs: Sequence[Graph]) -> list[Graph]:
    """The graphs with inputs in place of the constants that differ between them."""
    last = graphs[-1]
    if any(g.constants.keys() != last.constants.keys() or g.inputs != last.inputs for g in graphs):
        raise NotAffine
    names = [n for n, a in last.constants.items() if any(not _equal(g.constants[n], a) for g in graphs)]
    if any(g.constants[n].dtype.kind == "O" or not g.constants[n].size for n in names for g in graphs):
        raise NotAffine
    return [
        g.with_(inputs=(*g.inputs, *names), constants={n: a for n, a in g.constants.items() if n not in names})
        for g in graphs
    ]


def _buffers_read(program: Program) -> set[int]:
    """The buffers that a step, or the caller, reads or writes."""
    used = {b for s in program.steps if isinstance(s, Instruction) for b, _ in s.operands.values() if b is not None}
    names = {i for s in program.steps if isinstance(s, HostCall) for i in s.node.inputs} | {*program.graph.outputs}
    return used | {program.places[n].buffer for n in names if n in program.places}


def _equal(a: Array, b: Array) -> bool:
    return a is b or (a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


def _places(program: Program) -> dict[str, object]:
    """The places of values, but for where constants lie."""
    return {n: p._replace(start=0) if p.buffer == CONSTANTS else p for n, p in program.places.items()}


def _numbers(step: Instruction | HostCall) -> object:
    """What an instruction is, but for its kernel, its hints and where its constants lie."""
    if isinstance(step, HostCall):
        return step.node.name
    return step.kind, dict(step.operands), sorted(step.constants), dict(step.fields)
