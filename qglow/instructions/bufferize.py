"""Bufferization: when each buffer lives, and which buffers are one.

1. A buffer lives from the first step that uses it to the last; inputs live from the start, outputs to the end.
2. An instruction that may work in place writes its output over an input that dies there: they have one footprint, and
   the input is no input or output of the graph and no value that is looked at.
3. A buffer that no step uses and no value lies in is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from ..graph import Array
from .footprint import footprint_of
from .meaning import meaning_of
from .program import CONSTANTS, Buffer, HostCall, Instruction, Program
from .region import Region
from .repeat import changed, numbered
from .table import INSTRUCTIONS


def bufferize(program: Program) -> Program:
    """The program with live ranges, and with one buffer for those that an instruction may work in place on."""
    lives = _Lives(program)
    for k, last, step in numbered(program.steps):
        if isinstance(step, Instruction) and k == last:
            lives.work_in_place(k, step)
    return _renumbered(program, lives)


class _Lives:
    """Of each buffer the first and the last step, -1 where none uses it, and the buffer that it is a part of."""

    def __init__(self, program: Program) -> None:
        self.program, count = program, len(program.buffers)
        self.first, self.last = [-1] * count, [-1] * count
        self.root = list(range(count))
        self.kept: set[int] = set()  # those that hold what comes in, what goes out, and what is looked at
        for name in program.graph.inputs:
            self._keep(name, 0)
        for k, last, step in numbered(program.steps):
            for b in _buffers_of(program, step):
                if self.first[b] < 0:
                    self.first[b] = k
                self.last[b] = max(self.last[b], last)
        looked_at = {name: k for k, names in program.moments.items() for name in names}
        end = len(program.steps) - 1
        for name in program.graph.outputs:
            self._keep(name, max(0, looked_at[name] - 1 if name in looked_at else end))

    def _keep(self, name: str, k: int) -> None:
        """A value lives at a step, and nothing may be written over it."""
        place = self.program.places.get(name)
        if place is not None and place.buffer != CONSTANTS:
            b = place.buffer
            self.first[b] = k if self.first[b] < 0 else min(self.first[b], k)
            self.last[b] = max(self.last[b], k)
            self.kept.add(b)

    def work_in_place(self, k: int, step: Instruction) -> None:
        """Make the buffers of an input and an output one where the instruction may write the one over the other."""
        meaning = meaning_of(step.kind)
        if meaning is None or not meaning.in_place:
            return
        for name in meaning.in_place:
            x = step.operands.get(name, (None, 0))[0]
            if x is None or self.last[x := self.root[x]] != k or x in self.kept:
                continue
            for out in INSTRUCTIONS[step.kind].outs:
                y = step.operands.get(out, (None, 0))[0]
                if y is not None and self.root[y] == y != x and self.first[y] == k and self._fits(step, x, y):
                    self.root[y], self.last[x] = x, self.last[y]
                    if y in self.kept:
                        self.kept.add(x)
                    return

    def _fits(self, step: Instruction, x: int, y: int) -> bool:
        """Whether all that the instruction reads of one buffer is what it writes of the other, byte for byte, as its
        kind allows."""
        if self.program.buffers[x].size != self.program.buffers[y].size:
            return False
        found = footprint_of(step, self.program.isa, _no_tables)
        if found is None:
            return False
        used: set[tuple[Region, int]] = set()
        for a in (*found.reads, *found.writes):
            b, at = step.operands.get(a.operand, (None, 0))
            if b is not None and self.root[b] in (x, y):
                if self.root[b] == x and a.operand not in found.in_place:
                    return False
                used.add((a.region, at))
        return len(used) == 1


def _no_tables(step: Instruction, name: str, shape: tuple[int, ...]) -> Array:
    raise AssertionError(f"{step.kind} works in place, and has a table {name} that says what is read")


def _buffers_of(program: Program, step: Instruction | HostCall) -> Iterator[int]:
    """Indices of the buffers that a step uses."""
    if isinstance(step, Instruction):
        for b, _ in step.operands.values():
            if b is not None:
                yield b
    else:
        for name in (*step.node.inputs, *step.node.outputs):
            place = program.places.get(name)
            if place is not None and place.buffer != CONSTANTS:
                yield place.buffer


def _renumbered(program: Program, lives: _Lives) -> Program:
    """The program over the buffers that are left."""
    placed = {p.buffer for p in program.places.values()}
    left = [b for b, root in enumerate(lives.root) if root == b and (lives.last[b] >= 0 or b in placed)]
    number = {b: k for k, b in enumerate(left)}
    new = [number.get(root, CONSTANTS) for root in lives.root]
    buffers = tuple([Buffer(program.buffers[b].size, max(0, lives.first[b]), max(0, lives.last[b])) for b in left])
    if len(left) == len(new):
        return program._replace(buffers=buffers)
    steps = changed(program.steps, lambda step: _moved(step, new))
    places = {n: p if p.buffer == CONSTANTS else p._replace(buffer=new[p.buffer]) for n, p in program.places.items()}
    return program._replace(buffers=buffers, steps=steps, places=MappingProxyType(places))


def _moved(step: Instruction, new: list[int]) -> Instruction:
    operands = {n: (b if b is None else new[b], at) for n, (b, at) in step.operands.items()}
    return step._replace(operands=MappingProxyType(operands))
