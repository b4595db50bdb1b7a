"""The proof of a program at many lengths: what it holds of one program, asked again of what moves with a length, and of
the buffers that it uses.

Buffers, their lives, constants and barriers are the same at all lengths, so what is proven of them at one holds at
each. What an instruction touches at a length is found by the functions that find it in any proof. Instructions that are
the same, of whatever layer, are asked once, and so are buffers of the same uses.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from ..graph import Graph
from .along import Along, Pool
from .coverage import READ, WRITE, Use
from .footprint import TABLES
from .meaning import OVER_READ
from .program import CONSTANTS, HostCall, Instruction, TensorView
from .prove import BEFORE, Proof, is_written
from .table import INSTRUCTIONS

_STAYS: Mapping[str, int] = {}
Source = int | tuple[str, str]  # the number of a step, or "in" or "out" and the name of a value
Found = list[tuple[int, Use]]  # uses in their order, each with its buffer
Uses = list[tuple[Source, int, int]]  # of a buffer: what each comes from, which of that one's it is, and its phase
Places = Mapping[str, TensorView]


class _Log:
    """In place of the uses of each buffer: all of them, in their order."""

    def __init__(self) -> None:
        self.found: Found = []
        self._buffer = 0

    def __getitem__(self, buffer: int) -> _Log:
        self._buffer = buffer
        return self

    def append(self, use: Use) -> None:
        self.found.append((self._buffer, use))


class LengthsProof(Proof):
    """The proof of a program at its last length, which knows what is to be asked at others."""

    def __init__(self, way: Along) -> None:
        super().__init__(way.program)
        self._phases: dict[int, int] = {}
        self._again = False
        self.is_proven = self.holds()
        self._again, self._way, self._pool = True, way, Pool(way.program)
        if self.is_proven:
            self._prepare()

    def _prepare(self) -> None:
        program, way = self.program, self._way
        moving = self._moving_buffers()
        # NOTE: so that reading beyond a buffer's end, at any length, stays within the arena
        ends = [program.buffers[b].offset + program.buffers[b].size for b in moving]
        self.is_proven = all(end + OVER_READ <= program.arena_size for end in ends)
        sources: list[Source] = [("in", v) for v in program.graph.inputs if program.places[v].buffer in moving]
        sources += [k for k, step in enumerate(program.steps) if k in way.steps or self._touches(step, moving)]
        outs = [v for v in program.graph.outputs if v in program.places]
        sources += [("out", v) for v in outs if program.places[v].buffer in moving]
        classes: dict[Hashable, Source] = {}
        self._first = {s: classes.setdefault(self._signature(s), s) for s in sources}
        steps = {k: s for k, s in enumerate(program.steps) if k in way.steps and isinstance(s, Instruction)}
        found = {s: self._asked(s, steps, program.places, program.graph) for s in sources}
        self._before = {s: found[s] for s in classes.values()}
        self._buffers = self._buffer_classes(moving, found)
        hosts = [s.node for s in program.steps if isinstance(s, HostCall)]
        self.values = {s[1] for s in sources if not isinstance(s, int)}
        self.values |= {v for node in hosts for v in (*node.inputs, *node.outputs) if v}
        self.steps = [s for s in classes.values() if isinstance(s, int) and s in way.steps]

    def _moving_buffers(self) -> set[int]:
        """Those that a moving instruction uses, or a moving value lies in."""
        found: set[int | None] = {self.program.places[v].buffer for v in self._way.places}
        for k in self._way.steps:
            step = self.program.steps[k]
            assert isinstance(step, Instruction)
            found |= {b for b, _ in step.operands.values()}
        return {b for b in found if b is not None and b != CONSTANTS}

    def _buffer_classes(self, moving: set[int], found: Mapping[Source, Found | None]) -> list[Uses]:
        """The uses of buffers, those of equal ones once."""
        uses: dict[int, list[tuple[Source, int, int]]] = {b: [] for b in moving}
        for s, mine in found.items():
            for j, (buffer, (_, _, phase, _)) in enumerate(mine or ()):
                if buffer in moving:
                    uses[buffer].append((s, j, phase))
        classes: dict[Hashable, Uses] = {}
        for of in uses.values():
            ranks = {p: k for k, p in enumerate(sorted({p for _, _, p in of if p != BEFORE}))}
            classes.setdefault(tuple([(self._first[s], j, ranks.get(p, BEFORE)) for s, j, p in of]), of)
        return list(classes.values())

    def _touches(self, step: Instruction | HostCall, buffers: set[int]) -> bool:
        if isinstance(step, Instruction):
            return any(b in buffers for b, _ in step.operands.values())
        places, names = self.program.places, [*step.node.inputs, *step.node.outputs]
        return any(v in self._way.places or v in self._way.types or (v in places and places[v].buffer in buffers)
                   for v in names)  # fmt: skip

    def _signature(self, source: Source) -> Hashable:
        """All that a proof at any length asks of one step or value."""
        program, way = self.program, self._way
        if not isinstance(source, int):
            how, name = source
            place, t = program.places[name], program.graph.types[name]
            place = place._replace(buffer=program.buffers[place.buffer].size)
            return how, place, way.places.get(name), t, way.types.get(name)
        step = program.steps[source]
        if isinstance(step, HostCall) or TABLES[0] in INSTRUCTIONS[step.kind].consts:
            return source
        buffers = [b for b, _ in step.operands.values()]
        operands = [
            (name, at, None if b is None else (program.buffers[b].size, buffers.index(b)))
            for name, (b, at) in step.operands.items()
        ]
        pieces = [(name, self._pool.find(at)) for name, at in step.constants.items()]
        constants = [(name, len(piece), first) for name, (piece, first) in pieces]
        moves = way.steps.get(source)
        more = moves and (tuple(moves.fields.items()), tuple(moves.offsets.items()))
        return step.kind, tuple(step.fields.items()), more, tuple(operands), tuple(constants)

    def holds_at(self, steps: Mapping[int, Instruction], places: Places, graph: Graph) -> bool:
        """Whether the program at a length is proven. steps: those of `self.steps` at that length; places: those of
        `self.values`; graph: with their types."""
        now: dict[Source, Found] = {}
        for source, before in self._before.items():
            found = self._asked(source, steps, places, graph)
            if found is None or before is None or len(found) != len(before):
                return False
            for (b, (a, _, _, how)), (b_before, (a_before, _, _, how_before)) in zip(found, before, strict=True):
                if b != b_before or a.operand != a_before.operand or how != how_before:
                    return False
            now[source] = found
        for of in self._buffers:
            uses = []
            for s, j, phase in of:
                a, at, _, how = now[self._first[s]][j][1]
                uses.append((a, at, phase, how))
            if not is_written(uses):
                return False
        return True

    def _asked(self, source: Source, steps: Mapping[int, Instruction], places: Places, graph: Graph) -> Found | None:
        """The uses of one step or value; None where it is not proven."""
        program, log = self.program, _Log()
        self.uses = log  # type: ignore[assignment]
        try:
            self.program = program._replace(places=places, graph=graph)
            fine = self._step(source, steps) if isinstance(source, int) else self._value(*source)
        finally:
            self.program = program
        return log.found if fine else None

    def _step(self, k: int, steps: Mapping[int, Instruction]) -> bool:
        self.now, step = self._phases[k], steps[k] if k in self._way.steps else self._way.program.steps[k]
        if isinstance(step, Instruction):
            return self._native(step, k, k)
        names = [v for v in (*step.node.inputs, *step.node.outputs) if v in self.program.places]
        return all(self._placed(self.program.places[v]) for v in names) and self._host(step, k, self.now)

    def _value(self, how: str, name: str) -> bool:
        place = self.program.places[name]
        if not self._placed(place) or not self._typed(name, place):
            return False
        if how == "in":
            return self._use(place, BEFORE, WRITE)
        return self._use(place, 2 * len(self._way.program.steps) + 2, READ)

    def _native(
        self, step: Instruction, first: int, last: int, moves: Mapping[str, int] = _STAYS, count: int = 1
    ) -> bool:
        self._phases[first] = self.now
        return super()._native(step, first, last, moves, count)

    def _host(self, step: HostCall, k: int, phase: int) -> bool:
        self._phases[k] = self.now
        return super()._host(step, k, phase)

    def _waited(self, index: int, writes: bool) -> bool:
        """NOTE: at another length the uses are those of all buffers that were proven, or `holds_at` refuses it."""
        return self._again or super()._waited(index, writes)
