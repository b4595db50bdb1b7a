"""The proof of a program, quickly: what `verify_program` holds of it, found from footprints and intervals instead of
bytes.

Whatever is not certain here is left to the exact verifier, which accepts it or says what is wrong. So a program is
accepted only where the exact verifier accepts it. What is kept between programs are footprints and uses of buffers,
under all that they follow from.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod

import numpy as np

from ..errors import VerifyError
from ..graph import Array
from ..targets import TARGETS
from .barriers import flags_of
from .coverage import READ, SHARED, WRITE, Use, holds
from .footprint import Access, Footprint, access, footprint_of, reach
from .meaning import OVER_READ
from .plan import ALIGNMENT
from .program import CONSTANTS, Buffer, HostCall, Instruction, Program, TensorView
from .region import Region
from .repeat import Repeat, length, numbered, parts_of
from .table import APART

Flags = Sequence[Sequence[bool]]
_STAYS: Mapping[str, int] = {}
FEW = 8  # uses that are looked at one by one
BEFORE = -1  # the phase in which inputs are written


def prove(program: Program) -> Flags:
    """The barriers with which a program is proven (flags_of). Raises VerifyError as `verify_program` does."""
    proof = Proof(program)
    if not proof.holds():
        from .verify import verify_program  # NOTE: the quick proof needs none of it

        verify_program(program)
        return flags_of(program)
    return proof.flags


def is_quick(program: Program) -> bool:
    """Whether a program is proven without the exact verifier."""
    return Proof(program).holds()


class Proof:
    """The quick proof of one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.flags: Flags = []
        self.ends = list(accumulate(map(len, program.constant_pool)))
        self.buffers = program.buffers
        self.uses: list[list[Use]] = [[] for _ in program.buffers]
        self.looked_at = {name for names in program.moments.values() for name in names}
        # Buffers that the steps since the last barrier use, and whether they write them, in the order of their places.
        self.phase: list[tuple[int, int, bool]] = []  # the first byte, the index, whether it is written
        self.used: set[tuple[int, bool]] = set()
        self.longest = 0  # bytes of the largest of them
        self.now = 0  # how many barriers came before

    def holds(self) -> bool:
        return (
            self._sound() and self._fed() and self._stepped() and self._finished() and all(map(is_written, self.uses))
        )

    def _sound(self) -> bool:
        """Invariants 3 and 4 but for the uses: buffers apart while they live, and values within them."""
        program, steps = self.program, len(self.program.steps)
        if program.isa not in TARGETS or (self.ends[-1] if self.ends else 0) != program.constant_pool_size:
            return False
        for b in program.buffers:
            if b.size < 0 or b.offset < 0 or b.offset % ALIGNMENT or b.offset + b.size > program.arena_size:
                return False
            if not 0 <= b.first <= b.last <= steps:
                return False
        written = [s for _, _, s in numbered(program.steps) if isinstance(s, Instruction)]
        used = {b for s in written for b, _ in s.operands.values() if b is not None}
        if used and not 0 <= min(used) <= max(used) < len(program.buffers):
            return False
        return _apart(program.buffers) and all(map(self._placed, program.places.values()))

    def _placed(self, place: TensorView) -> bool:
        if place.buffer == CONSTANTS:
            limit = self.program.constant_pool_size
        elif 0 <= place.buffer < len(self.buffers):
            limit = self.buffers[place.buffer].size
        else:
            return False
        if min(place.shape, default=1) <= 0:
            return min(place.shape) == 0
        low, high = reach(place.shape, place.strides, place.start)
        return low >= 0 and high + place.itemsize <= limit

    def _fed(self) -> bool:
        graph, places = self.program.graph, self.program.places
        for name in graph.inputs:
            place = places.get(name)
            if (
                place is None
                or place.buffer == CONSTANTS
                or self.buffers[place.buffer].first > 0
                or not self._typed(name, place)
            ):
                return False
            if not self._use(place, BEFORE, WRITE):
                return False
        return True

    def _finished(self) -> bool:
        count = len(self.program.steps)
        return self._seen([n for n in self.program.graph.outputs if n not in self.looked_at], count, 2 * count + 2)

    def _seen(self, names: Sequence[str], count: int, phase: int) -> bool:
        """Whether outputs are there when `count` steps have run."""
        for name in names:
            place = self.program.places.get(name)
            if place is None:
                if name not in self.program.graph.constants:
                    return False
            elif not self._typed(name, place):
                return False
            elif place.buffer != CONSTANTS:
                if not self._lives(place.buffer, max(0, count - 1)):
                    return False
                self._use(place, phase, READ)
        return True

    def _lives(self, buffer: int, k: int) -> bool:
        """Whether a buffer of the program lives at a step."""
        return 0 <= buffer < len(self.buffers) and self.buffers[buffer].first <= k <= self.buffers[buffer].last

    def _typed(self, name: str, place: TensorView) -> bool:
        """Whether a value lies as its type says."""
        t = self.program.graph.types.get(name)
        return t is not None and place.shape == t.shape and np.dtype(place.dtype) == t.dtype.numpy

    def _use(self, place: TensorView, phase: int, how: int) -> bool:
        if 0 not in place.shape:
            found = _of(place)
            self.uses[place.buffer].append((found, 0, phase, how))
            return how != WRITE or found.is_distinct
        return True

    def _stepped(self) -> bool:
        k, moments, self.flags = 0, self.program.moments, flags_of(self.program)
        for part, flags in zip(parts_of(self.program.steps), self.flags, strict=True):
            if k in moments:
                self._next_phase()
                if not self._seen(moments[k], k, self.now):
                    return False
            if isinstance(part, Instruction):
                fine = self._native(part, k, k)
            else:
                fine = self._repeated(part, flags, k) if isinstance(part, Repeat) else self._host(part, k, self.now)
            if not fine:
                return False
            if flags[-1]:
                self._next_phase()
            k += length(part)
        return self._seen(moments.get(k, ()), k, self.now + 1)

    def _repeated(self, repeat: Repeat, flags: Sequence[bool], k: int) -> bool:
        """The uses of instructions that run several times, with barriers before and after each time.

        Where an operand stays, what holds the first time holds each time: no less is written then. One that moves is
        taken as all that it ever uses at once, which says too much only of what is written: so such a buffer has no
        other use here.
        """
        body, moves, count = repeat
        if count < 1 or len(moves) != len(body) or any(k < m < k + length(repeat) for m in self.program.moments):
            return False
        self._next_phase()
        before, last = [len(uses) for uses in self.uses], k + (count - 1) * len(body)
        for j, (step, by, flag) in enumerate(zip(body, moves, flags, strict=True)):
            if not self._native(step, k + j, last + j, by, count):
                return False
            if flag and j < len(body) - 1:
                self._next_phase()
        moving = {step.operands[name][0] for step, by in zip(body, moves, strict=True) for name in by}
        for index in moving:
            if index is None:
                return False
            uses = self.uses[index][before[index] :]
            if len(uses) > 1 and any(how != READ for _, _, _, how in uses):
                return False
        return bool(flags[-1])

    def _host(self, step: HostCall, k: int, phase: int) -> bool:
        graph, places = self.program.graph, self.program.places
        for names, how in ((step.node.inputs, READ), (step.node.outputs, WRITE)):
            for name in filter(None, names):
                place, t = places.get(name), graph.types.get(name)
                if place is None:
                    if how == WRITE or name not in graph.constants:
                        return False
                    continue
                if t is not None and t.is_static and not self._typed(name, place):
                    return False
                if place.buffer == CONSTANTS:
                    if how == WRITE:
                        return False
                elif not self._lives(place.buffer, k) or not self._use(place, phase, how):
                    return False
        return True

    def _native(
        self, step: Instruction, first: int, last: int, moves: Mapping[str, int] = _STAYS, count: int = 1
    ) -> bool:
        """Invariants 1 and 2 of an instruction, and its uses, of operands that move on each of `count` times."""
        found = footprint_of(step, self.program.isa, self._ints)
        operands, constants = step.operands, step.constants
        if found is None or len(operands) + len(constants) != len(found.operands):
            return False
        if not (found.operands.issuperset(operands) and found.operands.issuperset(constants)):
            return False
        for name, (buffer, _) in operands.items():
            if buffer is None:
                if name not in APART:
                    return False
            elif name in APART or not self._lives(buffer, first) or (last > first and not self._lives(buffer, last)):
                return False
        if not moves.keys() <= operands.keys():
            return False
        for a in found.reads:
            if a.operand in constants and not self._within_piece(constants[a.operand], a):
                return False
        return self._in_arena(step, found, moves, count)

    def _in_arena(self, step: Instruction, found: Footprint, moves: Mapping[str, int], count: int) -> bool:
        shared, phase = _shared(step, found), self.now
        for accesses, how in ((found.reads, READ), (found.writes, WRITE)):
            for a in accesses:
                if a.operand not in step.operands:
                    if how == WRITE:
                        return False
                    continue
                index, at = step.operands[a.operand]
                if index is None:
                    return False
                if a.operand in moves:
                    by, (shape, strides, dtype, start) = moves[a.operand], a.region
                    a = Access(a.operand, Region((count, *shape), (by, *strides), dtype, start))
                    if how == WRITE and not a.is_distinct:
                        return False
                size, _, _, offset = self.buffers[index]
                if at + a.low < 0 or at + a.high > size or offset + at + a.high + OVER_READ > self.program.arena_size:
                    return False
                self.uses[index].append((a, at, phase, SHARED if a in shared else how))
                if not self._waited(index, how == WRITE):
                    return False
        return True

    def _next_phase(self) -> None:
        self.now += 1
        self.phase.clear()
        self.used.clear()
        self.longest = 0

    def _waited(self, index: int, writes: bool) -> bool:
        """Whether no other buffer that steps since the last barrier use lies on this one where one of the two is
        written.

        NOTE: of two buffers the one that comes later is held to the one before, so that none need be looked at twice.
        """
        if (index, writes) in self.used:
            return True
        size, _, _, low = self.buffers[index]
        high = low + size
        near = range(len(self.phase))
        if len(near) > FEW:
            first = bisect_right(self.phase, low - self.longest, key=_start)
            near = range(first, bisect_left(self.phase, high, key=_start))
        for k in near:
            start, other, written = self.phase[k]
            if (writes or written) and other != index and start < high and low < start + self.buffers[other].size:
                return False
        insort(self.phase, (low, index, writes))
        self.used.add((index, writes))
        self.longest = max(self.longest, size)
        return True

    def _within_piece(self, at: int, found: Access) -> bool:
        k = bisect_right(self.ends, at)
        start = self.ends[k - 1] if k else 0
        return k < len(self.ends) and start <= at + found.low and at + found.high <= self.ends[k]

    def _ints(self, step: Instruction, name: str, shape: tuple[int, ...]) -> Array:
        at, size = step.constants.get(name, -1), 4 * prod(shape)
        k = bisect_right(self.ends, at)
        start = self.ends[k - 1] if k else 0
        if at < 0 or k == len(self.ends) or at + size > self.ends[k]:
            raise VerifyError(f"expected constant {name} within its piece")
        piece = self.program.constant_pool[k]
        if not isinstance(piece, bytes | memoryview):
            raise VerifyError(f"expected constant {name} as bytes")
        return np.frombuffer(piece, "<i4", prod(shape), at - start).reshape(shape)


def _start(use: tuple[int, int, bool]) -> int:
    return use[0]


def _of(place: TensorView) -> Access:
    return access("", place.shape, place.strides, place.dtype, place.start)


def _shared(step: Instruction, found: Footprint) -> list[Access]:
    """Inputs that an output is written over, element for element, as the instruction's kind allows."""
    if not found.in_place:
        return []
    outs = [(step.operands[w.operand], w.region) for w in found.writes if w.operand in step.operands]
    return [r for r in found.reads if r.operand in found.in_place and (step.operands.get(r.operand), r.region) in outs]


def _apart(buffers: Sequence[Buffer]) -> bool:
    """Whether buffers that live at one time share no byte: those that live lie in order, and each new one between its
    neighbours."""
    alive: list[tuple[int, int]] = []  # first byte and the one after the last, in order
    ending: list[tuple[int, int, int]] = []
    for b in sorted(buffers, key=lambda b: b.first):
        while ending and ending[0][0] < b.first:
            _, low, high = ending.pop(0)
            alive.pop(bisect_right(alive, (low, high)) - 1)
        k = bisect_right(alive, (b.offset, b.offset + b.size))
        if (k and alive[k - 1][1] > b.offset) or (k < len(alive) and alive[k][0] < b.offset + b.size):
            return False
        alive.insert(k, (b.offset, b.offset + b.size))
        insort(ending, (b.last, b.offset, b.offset + b.size))
    return True


def is_written(uses: list[Use]) -> bool:
    """Whether each byte of a buffer is written before it is read, with a barrier between: at once where one dense write
    comes first."""
    if not uses:
        return True
    first, at, born, how = uses[0]
    if how == WRITE and first.dense:
        low, high = at + first.low, at + first.high
        for a, place, phase, how in uses[1:]:
            if how != READ or phase == born or place + a.low < low or place + a.high > high:
                break
        else:
            return True
    start = min(phase for _, _, phase, _ in uses if phase != BEFORE) if any(u[2] != BEFORE for u in uses) else 0
    return holds([(a, at, phase if phase == BEFORE else phase - start, how) for a, at, phase, how in uses])
