"""One program that runs at many lengths: bound once, at the largest, and moved to another by adding to its words.

A length is let in when the types at it are found to be what they should (graph/moving.py), and the program at it is
proven (instructions/prove_lengths.py). What is folded of shapes alone, positions and masks, is computed then, and comes
in as an input does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import VerifyError
from ..graph import Array, Graph, Node
from ..graph.moving import Line, NotAffine
from ..graph.stages import cut
from ..graph.verify import verify_level
from ..instructions.each import Differs, each
from ..instructions.program import CONSTANTS, HostCall, Instruction, Program, TensorView
from ..instructions.prove_lengths import LengthsProof
from ..instructions.table import INSTRUCTIONS
from ..kernels.table import kernel_of
from ..limits import UNIT_PRODUCTS, check_memory, check_work
from ..reference import MEANING
from .backends import Backend
from .constants import ConstantPool
from .handlers import of_a_signal_handler
from .length_search import Shapes, equal, find_program, lowered, typed
from .native import HostStep, NativePlan, Rows, Segment
from .pieces import total, work

MOST_PARTS = 64  # proofs of many lengths that are tried


class LengthTemplate:
    """The plans of a graph from one length to another. moves: of each input the dimensions that grow with the length.

    Raises NotAffine where there is no such program, and what planning raises.
    """

    def __init__(
        self, graph: Graph, shapes_at: Callable[[int], Shapes], lengths: tuple[int, int], backend: Backend,
        threads: int, pool: ConstantPool, kept: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """shapes_at: of the inputs at a length; lengths: the first and the last; kept: see `find_program`."""
        self.lengths, self._isa, self._pool = lengths, backend.target(), pool
        self.found = found = find_program(graph, shapes_at, lengths, self._isa, pool.derived, kept)
        last = found.way.program
        self._memory = last.arena_size + last.constant_pool_size
        self._work = total(last, work) // UNIT_PRODUCTS
        self._check_limits()
        bound = backend.load(last, threads, pool)
        if not isinstance(bound, NativePlan):
            raise NotAffine
        self.bound, self.way = bound, found.way._replace(program=bound.program)
        self._proof = LengthsProof(self.way)
        if not self._proof.is_proven:
            raise NotAffine
        self.names = {*bound.graph.inputs, *bound.graph.outputs, *self._proof.values}  # of which plans have views
        self.alike = self._moving_places()
        self.read = _buffers_read(bound.program)
        steps = self.way.steps_at(lengths[-1], self._proof.steps)
        self._kernels = {k: kernel_of(s, self._isa) for k, s in steps.items()}
        self._proven: set[int] | None = None
        self._at: int | None = None
        self._words: list[tuple[Array, Array, Array, list[Array]]] = []
        self._bound_to: object = None
        self._views: dict[str, Array] = {}

    def _moving_places(self) -> list[tuple[Line, list[tuple[str, TensorView]]]]:
        """The values of `names` whose places move, with these, by how they move."""
        found: dict[Line, list[tuple[str, TensorView]]] = {}
        for name in self.names:
            if name in self.way.places:
                found.setdefault(self.way.places[name].line, []).append((name, self.way.program.places[name]))
        return list(found.items())

    def _check_limits(self) -> None:
        """Raise LimitError where the program at the largest length takes too much."""
        check_memory(self._memory, f"model {self.found.static.name!r}: the plan of a run")
        check_work(self._work, f"model {self.found.static.name!r}: a run")

    @property
    def nbytes(self) -> int:
        return self.bound.nbytes

    def plan(self, shapes: Shapes, length: int) -> LengthPlan:
        """The plan for a length. Raises NotAffine where the program is not proven at it."""
        self._check_limits()
        folded = self.found.moving.at(shapes, length, MEANING)
        if not all(equal(folded[name], a) for name, a in self.found.fixed.items()):
            raise NotAffine  # NOTE: one that is equal at the lengths that were lowered, and not at this one
        values = {name: folded[self.found.moving.of[name]] for name in self.found.folded}
        if self._proven is None:
            self._proven = self._proven_at_once(np.arange(self.lengths[0], self.lengths[1] + 1))
        if length not in self._proven and not self._holds(length):
            raise NotAffine
        made = LengthPlan(self, length, values)
        if verify_level() >= 2:
            self._check_afresh(made, shapes, values)
        return made

    def _holds(self, length: Any) -> bool:
        """Whether the program is proven at a length, or at each of many."""
        steps, names = self.way.steps_at(length, self._proof.steps), self._proof.values
        if any(kernel_of(s, self._isa) is not self._kernels[k] for k, s in steps.items()):
            return False
        return self._proof.holds_at(steps, self.way.places_at(length, names), self.way.graph_at(length, names))

    def _proven_at_once(self, lengths: Array) -> set[int]:
        """Those of many lengths at which one proof of all of them, or of all that answer its questions alike, holds.
        The others are proven when they come, or not."""
        found, left = set[int](), [lengths]
        for _ in range(MOST_PARTS):
            some = left.pop() if left else lengths[:0]
            if len(some):
                try:
                    found.update(some.tolist() if self._holds(each(some)) else ())
                except Differs as question:
                    left += [some[question.yes], some[~question.yes]]
                except Exception as error:  # NOTE: of code that takes numbers for what they are no more
                    if of_a_signal_handler(error):
                        raise
        return found

    def _check_afresh(self, made: LengthPlan, shapes: Shapes, values: Mapping[str, Array]) -> None:
        """Raise VerifyError where planning for this length alone gives another program, and what the exact proof
        raises."""
        from ..instructions.verify import verify_program  # NOTE: at the higher levels of verification alone

        verify_program(made.program)
        if not self._holds(made.length):
            raise VerifyError(f"length {made.length}: proven among others, and not by itself")
        fresh = cut(typed(self.found.moving.full_graph, shapes)).first
        constants = {n: a for n, a in fresh.constants.items() if n not in values}
        again = lowered(
            fresh.with_(inputs=self.found.static.inputs, constants=constants),
            self._isa,
            self._pool.derived,
            self.found.rooms,
        )
        pairs = [(_numbers(a), _numbers(b)) for a, b in zip(again.steps, made.program.steps, strict=True)]
        wrong = [pair for pair in pairs if pair[0] != pair[1]]
        if wrong or _places(again) != _places(made.program):
            raise VerifyError(f"length {made.length}: planned afresh, the program is another: {wrong[:1]}")
        for n, a in {**self.found.static.constants, **values}.items():
            if n not in fresh.constants or not equal(a, fresh.constants[n]):
                raise VerifyError(f"length {made.length}: planned afresh, the constant {n!r} is another")

    def views(self) -> dict[str, Array]:
        """What lies where it lies at every length, by the names of `names`."""
        self._follow()
        return self._views

    def moves(self, node: Node) -> bool:
        """Whether a node reads or makes what moves with the length."""
        return any(v in self.way.places or v in self.way.types for v in (*node.inputs, *node.outputs))

    def _follow(self) -> None:
        """Know the program's words and views as they are bound now."""
        if self._bound_to is not self.bound._steps:
            self._words, self._at = self._moving_words(), None
            self._views = {n: v for n, v in self.bound._views.items() if n in self.names and n not in self.way.places}
            self._bound_to = self.bound._steps

    def point_at(self, length: int) -> None:
        """Have the program's words be those of a length."""
        self._follow()
        if self._at != length:
            self._at = None  # NOTE: where what follows is interrupted, all of it is done again
            more = np.array(self.way.bases.grown(length))
            for words, index, last, slopes in self._words:
                words[index] = last + slopes[0] * more[slopes[1]]
            self._at = length

    def _moving_words(self) -> list[tuple[Array, Array, Array, list[Array]]]:
        """Of each segment its words, and of those that move their places, what they are at the last length, and how
        they grow: rows of slopes and of bases."""
        found, k, steps = [], 0, self.bound.program.steps
        for segment in self.bound._steps:
            if not isinstance(segment, Segment):
                k += 1
                continue
            rows = segment.rows
            assert isinstance(rows, Rows)
            moves = [
                (first + INSTRUCTIONS[step.kind].index(name), *by)
                for j, first in enumerate(rows.firsts)
                if k + j in self.way.steps and isinstance(step := steps[k + j], Instruction)
                for group in self.way.steps[k + j]
                for name, by in group.items()
            ]
            k += len(rows)
            if moves:
                index, *slopes = np.array(moves, np.int64).T
                found.append((rows.words, index, rows.words[index], slopes))
        return found


class LengthPlan(NativePlan):
    """The plan of one length, which has nothing of its own but the views of what comes in and goes out."""

    def __init__(self, template: LengthTemplate, length: int, folded: Mapping[str, Array]) -> None:
        self.template, self.length = template, length
        bound = template.bound
        self._graph: Graph | None = None
        more = template.way.bases.grown(length)
        self._places = [(line.at(more), alike) for line, alike in template.alike]
        self.library, self.threads, self.constants = bound.library, bound.threads, bound.constants
        self._shared, self._execute = bound._shared, bound._execute
        places = template.way.program.places
        self._folded = [(n, a) for n, a in folded.items() if places[n].buffer in template.read]
        self._look()

    @property
    def graph(self) -> Graph:  # type: ignore[override]
        """The graph at this length, as far as the template's names go."""
        if self._graph is None:
            self._graph = self.template.way.graph_at(self.length, self.template.names)
        return self._graph

    @property
    def program(self) -> Program:  # type: ignore[override]
        """The program at this length."""
        return self.template.way.at(self.length)

    def _look(self) -> None:
        bound = self.template.bound
        self._own, self.arena, self.scratch = bound._own, bound.arena, bound.scratch
        self._fault_word = bound._fault_word
        self._views = {**self.template.views(), **self._moving_views()}
        self._outputs = self._found(bound.program.graph)
        self._take(bound._steps)

    @property
    def _whole_graph(self) -> Graph:
        return self.template.found.moving.full_graph

    def _moving_views(self) -> dict[str, Array]:
        bound, buffers, made = self.template.bound, self.template.bound.program.buffers, dict[str, Array]()
        for numbers, alike in self._places:
            rank = len(numbers) // 2
            shape, strides, start = numbers[:rank], numbers[rank:-1], numbers[-1]
            for name, place in alike:
                if bound._own or 0 in shape:
                    made[name] = bound._view(place._replace(shape=shape, strides=strides, start=start))
                else:
                    at = buffers[place.buffer].offset + start
                    made[name] = np.ndarray(shape, place.dtype, bound.arena, at, strides)
        return made

    def _host_step(self, node: Node) -> HostStep:
        """NOTE: those that do not move are the program's own, bound once for all lengths."""
        return super()._host_step(node) if self.template.moves(node) else self.template.bound._host_step(node)

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


def _buffers_read(program: Program) -> set[int]:
    """The buffers that a step, or the caller, reads or writes."""
    used = {b for s in program.steps if isinstance(s, Instruction) for b, _ in s.operands.values() if b is not None}
    names = {i for s in program.steps if isinstance(s, HostCall) for i in s.node.inputs} | {*program.graph.outputs}
    return used | {program.places[n].buffer for n in names if n in program.places}


def _places(program: Program) -> dict[str, object]:
    """The places of values, but for where constants lie."""
    return {n: p._replace(start=0) if p.buffer == CONSTANTS else p for n, p in program.places.items()}


def _numbers(step: Instruction | HostCall) -> object:
    """What an instruction is, but for its kernel, its hints and where its constants lie."""
    if isinstance(step, HostCall):
        return step.node.name
    return step.kind, dict(step.operands), sorted(step.constants), dict(step.fields)
