"""One program for many lengths: the numbers by which programs of one graph differ, found from programs at some lengths,
and given at any between.

Programs at all of the lengths must be one but for fields, offsets and places that grow in proportion; the last has the
largest buffers, and those are kept. Why that is the program at each length between:

1. Types at a length are found exactly, and must be in proportion there too (graph/moving.py). What shapes fold is
   computed.
2. Rules choose by comparing sizes. Of two numbers in proportion to the length one is the larger at both ends, and so
   everywhere between, or the choice at the ends differs, and there is no such program. Where two are equal at one
   length between, a rule may have a shorter form there; the general form, which holds beside it, holds there as well.
3. A number grows in proportion to the length, to the length filled up to a multiple, or to the length times one of
   these. It must do so at lengths that tell these apart: one of them is 1 more than a multiple of 64, and where not
   all numbers follow the length itself there is a fourth. Runs are not cut for threads, as that looks for divisors.
   Buffers and constants of one repeated word may be larger than needed.

With `QGLOW_VERIFY=2` each length is planned afresh, and compared.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

import numpy as np

from ..graph import Graph, TensorType
from ..graph.moving import Bases, Line, NotAffine, Slope
from ..record import NamedTuple
from .packed import Lazy, way_of
from .program import CONSTANTS, ConstantData, HostCall, Instruction, Program, TensorView
from .repeat import Repeat, Steps, parts_of


class Moves(NamedTuple):
    """How an instruction's numbers grow with the length: those of fields, and the offsets of operands."""

    fields: Mapping[str, Slope]
    offsets: Mapping[str, Slope]


class Shift(NamedTuple):
    """A place's shape, strides and start, in this order."""

    line: Line

    def at(self, place: TensorView, more: Sequence[int]) -> TensorView:
        numbers, rank = self.line.at(more), len(place.shape)
        return place._replace(shape=numbers[:rank], strides=numbers[rank:-1], start=numbers[-1])


class Along(NamedTuple):
    """A program at the last of some lengths, and what moves: instructions by their numbers; by their names, places of
    values and the shapes that their types have."""

    program: Program
    bases: Bases
    steps: Mapping[int, Moves]
    places: Mapping[str, Shift]
    types: Mapping[str, Line]

    @property
    def is_straight(self) -> bool:
        """Whether all that moves follows the length itself."""
        slopes = [s for moves in self.steps.values() for group in moves for s in group.values()]
        slopes += [s for shift in self.places.values() for s in shift.line.slopes]
        return not any(k for by, k in slopes if by)

    def steps_at(self, length: int, numbers: Iterable[int]) -> dict[int, Instruction]:
        """Some of the instructions that move, at a length."""
        more = self.bases.grown(length)
        return {k: _moved(self.program.steps[k], self.steps[k], more) for k in numbers}

    def places_at(self, length: int, names: Iterable[str]) -> dict[str, TensorView]:
        """The places of some values, as far as they have one, at a length."""
        more, places = self.bases.grown(length), self.program.places
        return {n: self.places[n].at(places[n], more) if n in self.places else places[n] for n in names if n in places}

    def graph_at(self, length: int, names: Iterable[str]) -> Graph:
        """The program's graph, with the types of some values at a length."""
        graph, more = self.program.graph, self.bases.grown(length)
        types = {n: graph.types[n]._replace(shape=self.types[n].at(more)) for n in names if n in self.types}
        return graph.with_(types={**graph.types, **types})

    def at(self, length: int) -> Program:
        """The program at a length, over the buffers of the last."""
        moved, program = self.steps_at(length, self.steps), self.program
        steps = Steps([moved.get(k) or s for k, s in enumerate(program.steps)])
        places = self.places_at(length, program.places)
        return program._replace(steps=steps, places=places, graph=self.graph_at(length, self.types))


def along(programs: Sequence[Program], bases: Bases) -> Along:
    """What programs at the lengths of `bases` differ by. Raises NotAffine where they are not one program so."""
    last = programs[-1]
    if any(isinstance(part, Repeat) for p in programs for part in parts_of(p.steps)) or last.moments:
        raise NotAffine
    _same([len(p.steps) for p in programs])
    for buffers in _columns([p.buffers for p in programs]):
        _same([(b.first, b.last) for b in buffers])
        if any(b.size > buffers[-1].size for b in buffers):
            raise NotAffine
    pools = [Pool(p) for p in programs]
    for node in [s.node for s in last.steps if isinstance(s, HostCall)]:
        for name in node.inputs:
            if name in last.graph.constants and any(_differ(last, p, name) for p in programs):
                raise NotAffine
    steps = {}
    for k, column in enumerate(_columns([list(p.steps) for p in programs])):
        found = _moves_of(column, bases, pools)
        if found is not None:
            steps[k] = found
    _same([set(p.places) for p in programs])
    places = {}
    for name, place in last.places.items():
        shift = _shift([p.places[name] for p in programs], bases, pools)
        if shift.line.moves:
            places[name] = shift
            if place.buffer == CONSTANTS:
                raise NotAffine
    return Along(last, bases, steps, places, _lines([p.graph.types for p in programs], bases))


def _lines(types: Sequence[Mapping[str, TensorType]], bases: Bases) -> dict[str, Line]:
    """The shapes that move."""
    _same([t.keys() for t in types])
    found = {}
    for name, last in types[-1].items():
        if any(t[name] != last for t in types):
            _same([(t[name].dtype, t[name].quant) for t in types])
            found[name] = Line.through(bases, [t[name].static_shape for t in types])
    return found


def _differ(a: Program, b: Program, name: str) -> bool:
    """Whether a constant is another in another program's graph."""
    x, y = a.graph.constants[name], b.graph.constants.get(name)
    return x is not y and (y is None or (x.dtype, x.shape) != (y.dtype, y.shape) or x.tobytes() != y.tobytes())


def _columns(rows: Sequence[Sequence]) -> list[tuple]:  # type: ignore[type-arg]
    _same([len(r) for r in rows])
    return list(zip(*rows, strict=True))


def _same(values: Sequence[object]) -> None:
    if any(v != values[0] for v in values):
        raise NotAffine


def _moves_of(steps: Sequence[Instruction | HostCall], bases: Bases, pools: Sequence[Pool]) -> Moves | None:
    """None of a step that is the same at all lengths."""
    last = steps[-1]
    if isinstance(last, HostCall):
        if not all(isinstance(s, HostCall) for s in steps):
            raise NotAffine
        _same([(s.node.op, s.node.inputs, s.node.outputs, s.node.name) for s in steps])  # type: ignore[union-attr]
        return None
    found = [s for s in steps if isinstance(s, Instruction)]
    _same([(s.kind, s.kernel, dict(s.hints), *s.operands, *s.constants, *s.fields) for s in found])
    if len(found) != len(steps):
        raise NotAffine
    _same([[b for b, _ in s.operands.values()] for s in found])
    for name in last.constants:
        _same_data([(pool, s.constants[name]) for pool, s in zip(pools, found, strict=True)])
    offsets = _slopes([{n: at for n, (_, at) in s.operands.items()} for s in found], bases)
    fields = _slopes([s.fields for s in found], bases)
    return Moves(fields, offsets) if fields or offsets else None


def _slopes(numbers: Sequence[Mapping[str, int | float]], bases: Bases) -> dict[str, Slope]:
    """Of those that move."""
    found = {}
    for name, value in numbers[-1].items():
        values = [n[name] for n in numbers]
        if values.count(value) == len(values):
            continue
        if not all(isinstance(v, int) for v in values):
            raise NotAffine
        found[name] = bases.slope(values)  # type: ignore[arg-type]
    return found


def _shift(places: Sequence[TensorView], bases: Bases, pools: Sequence[Pool]) -> Shift:
    _same([(p.buffer, p.dtype, p.halo, len(p.shape)) for p in places])
    if places[-1].buffer == CONSTANTS:
        _same_data([(pool, p.start) for pool, p in zip(pools, places, strict=True)])
        places = [p._replace(start=places[-1].start) for p in places]
    return Shift(Line.through(bases, [(*p.shape, *p.strides, p.start) for p in places]))


class Pool:
    """The constants of a program, by bytes into them."""

    def __init__(self, program: Program) -> None:
        self.pieces = program.constant_pool
        self._starts = [0, *accumulate(map(len, self.pieces))]

    def find(self, at: int) -> tuple[ConstantData, int]:
        """The piece that holds a byte, and the byte's place in it."""
        k = min(bisect_right(self._starts, at), len(self.pieces)) - 1
        return self.pieces[k], at - self._starts[k]


def _same_data(found: Sequence[tuple[Pool, int]]) -> None:
    """Raise NotAffine unless the same lies at all of these bytes; of one word over and over, the last has most."""
    last, at = found[-1][0].find(found[-1][1])
    for pool, start in found[:-1]:
        piece, first = pool.find(start)
        if piece is last and first == at:
            continue
        if isinstance(piece, Lazy) or isinstance(last, Lazy):
            same = isinstance(piece, Lazy) and isinstance(last, Lazy) and first == at and piece.weights is last.weights
            if not (same and way_of(piece) == way_of(last)):  # type: ignore[arg-type]
                raise NotAffine
        elif not (piece == last and first == at):
            mine, others = bytes(piece)[first:], bytes(last)[at:]
            if not len(mine) <= len(others) or not others.startswith(mine) or not _is_uniform(others):
                raise NotAffine


def _is_uniform(data: bytes) -> bool:
    """Whether it is one word of four bytes, over and over."""
    words = np.frombuffer(data[: len(data) // 4 * 4], "<i4")
    return len(data) % 4 == 0 and len(words) > 0 and bool((words == words[0]).all())


def _moved(step: Instruction | HostCall, moves: Moves, more: Sequence[int]) -> Instruction:
    assert isinstance(step, Instruction)
    fields = {**step.fields, **{n: step.fields[n] + by * more[k] for n, (by, k) in moves.fields.items()}}
    if not moves.offsets:
        return step._replace(fields=fields)
    operands = dict(step.operands)
    for name, (by, k) in moves.offsets.items():
        buffer, at = operands[name]
        operands[name] = buffer, at + by * more[k]
    return step._replace(fields=fields, operands=operands)
