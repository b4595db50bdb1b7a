"""The invariants of a program over planned memory. All that are broken are collected before one error is raised.

1. Every step's kind is in the table; its fields are there, none else, each within its range.
2. An instruction has the operands that its fields ask for; every element that they make it touch, as the meaning of its
   kind says, lies in the operand's buffer or among the constants, with room behind for what kernels may read too much.
   A product that adds pairs in 16 bits has its steps marked that need more.
3. Buffers lie in the arena, 64-byte aligned; no two that live at one time overlap; a step uses a buffer only while it
   lives.
4. Values lie in their buffers; a value that a host step uses has the dtype and shape of its type.
5. (simulate) Each byte is written before it is read, and once by an instruction; what is written is not read by the
   same instruction, unless its kind may work in place and the elements are the same. So are the parts of an instruction
   that threads share.
6. (simulate) Between two steps that meet in a byte, of which one at least writes it, there is a barrier.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ..errors import VerifyError
from ..graph import DType
from ..targets import TARGETS
from .interpret import blob_of, site_of
from .meaning import OVER_READ, Regions, load_families
from .pairings import steps_of, wrong_steps
from .plan import ALIGNMENT
from .program import CONSTANTS, Buffer, HostCall, Instruction, Program, TensorView
from .region import Region
from .table import APART, INSTRUCTIONS
from .text import print_step
from .verify_fields import field_faults
from .verify_memory import Memory

SHOWN = 8


def verify_program(program: Program, simulate: bool = True) -> Program:
    """The program itself; raises VerifyError that names each broken invariant with its step's number and line, expected
    and got.

    simulate: also 5 and 6, which play every step through.
    """
    broken = [*_buffers(program), *_places(program)]
    regions: dict[int, Regions] = {}
    for k, fault in _Steps(program).faults(regions):
        broken.append(_located(program, k, fault))
    if simulate and not broken:
        broken = [_located(program, k, fault) for k, fault in Memory(program, regions).faults()]
    if broken:
        raise VerifyError(
            f"program {program.graph.name!r} breaks {len(broken)} invariants: " + "; ".join(broken[:SHOWN])
        )
    return program


def _located(program: Program, k: int, fault: str) -> str:
    line = print_step(k, program) if 0 <= k < len(program.steps) else "no step"
    return f"step `{line if len(line) <= 400 else line[:400] + ' ...'}`: {fault}"


def _buffers(program: Program) -> list[str]:
    """Invariant 3, but for the uses."""
    if program.isa not in TARGETS:
        return [f"expected an instruction set of {', '.join(TARGETS)}, got {program.isa!r}"]
    faults = []
    for k, b in enumerate(program.buffers):
        if b.size < 0 or b.offset < 0 or b.offset % ALIGNMENT or b.offset + b.size > program.arena_size:
            arena = f"the {program.arena_size} bytes of the arena"
            faults.append(f"buffer b{k}: expected it aligned and within {arena}, got [{b.offset}, {b.offset + b.size})")
        if not 0 <= b.first <= b.last <= len(program.steps):
            faults.append(
                f"buffer b{k}: expected to live between steps 0 and {len(program.steps)}, got {b.first} to {b.last}"
            )
    if sum(map(len, program.constant_pool)) != program.constant_pool_size:
        faults.append(
            f"expected {program.constant_pool_size} bytes of constants, got {sum(map(len, program.constant_pool))}"
        )
    return faults + _overlaps(program.buffers)


def _overlaps(buffers: tuple[Buffer, ...]) -> list[str]:
    if not buffers:
        return []
    low, size, first, last = (
        np.array([getattr(b, n) for b in buffers], np.int64) for n in ("offset", "size", "first", "last")
    )
    high = low + size
    meet = (low[:, None] < high) & (low < high[:, None]) & (first[:, None] <= last) & (first <= last[:, None])
    pairs = np.argwhere(np.triu(meet, 1))
    return [
        f"buffers b{a} and b{b}: expected apart while both live, got [{low[a]}, {high[a]}) and [{low[b]}, {high[b]})"
        for a, b in pairs
    ]


def _places(program: Program) -> list[str]:
    """Invariant 4, and that what comes in lives from the start, what goes out to the end."""
    graph, faults, buffers = program.graph, [], program.buffers
    for name, p in program.places.items():
        if p.buffer != CONSTANTS and not 0 <= p.buffer < len(buffers):
            faults.append(f"value {name!r}: expected one of the program's {len(buffers)} buffers, got b{p.buffer}")
            continue
        limit = program.constant_pool_size if p.buffer == CONSTANTS else buffers[p.buffer].size
        low, high = _extent(p)
        if low < 0 or high > limit:
            faults.append(f"value {name!r}: expected bytes within the {limit} of its buffer, got [{low}, {high})")
    looked_at = {name: k for k, names in program.moments.items() for name in names}
    at_end = [n for n in graph.outputs if n not in looked_at]
    ends = ((graph.inputs, 0, "from the start"), (at_end, len(program.steps) - 1, "to the end"))
    for names, alive, when in (*ends, *(([n], k - 1, f"when {k} steps have run") for n, k in looked_at.items())):
        for name in names:
            place, t = program.places.get(name), graph.types.get(name)
            if place is None:
                faults += [] if name in graph.constants else [f"value {name!r}: expected a place, got none"]
                continue
            if t is None or not t.is_static or place.shape != t.static_shape or DType.of(place.dtype) is not t.dtype:
                said = "a value that is known" if t is None else f"{t.dtype.value}{list(t.shape or ())}"
                faults.append(f"value {name!r}: expected {said}, got {place.dtype}{list(place.shape)}")
            if 0 <= place.buffer < len(buffers):
                _, first, last, _ = buffers[place.buffer]
                if not first <= max(0, alive) <= last:
                    faults.append(f"value {name!r}: expected to live {when}, got steps {first} to {last}")
    return faults


def _extent(p: TensorView) -> tuple[int, int]:
    return Region(p.shape, p.strides, p.dtype, p.start).reach()


class _Steps:
    """Invariants 1 and 2 of every step, and the uses of 3 and 4."""

    def __init__(self, program: Program) -> None:
        self.program, self.meanings = program, load_families()
        self.constants = cache(lambda: blob_of(program))
        self.ends = np.cumsum([len(piece) for piece in program.constant_pool])

    def faults(self, regions: dict[int, Regions]) -> list[tuple[int, str]]:
        """Fills `regions` with those of each instruction that is sound by itself."""
        found: list[tuple[int, str]] = []
        if self.program.isa not in TARGETS:
            return found
        for k, step in enumerate(self.program.steps):
            found += [
                (k, f) for f in (self._host(step, k) if isinstance(step, HostCall) else self._native(step, k, regions))
            ]
        return found

    def _host(self, step: HostCall, k: int) -> list[str]:
        graph, places, faults = self.program.graph, self.program.places, []
        for name in filter(None, (*step.node.inputs, *step.node.outputs)):
            place, t = places.get(name), graph.types.get(name)
            if place is None:
                faults += (
                    []
                    if name in graph.constants and name in step.node.inputs
                    else [f"expected a place for {name!r}, got none"]
                )
                continue
            found = (DType.of(place.dtype), place.shape)
            if t is not None and t.is_static and found != (t.dtype, t.static_shape):
                faults.append(
                    f"expected {name!r} as {t.dtype.value}{list(t.static_shape)}, got {place.dtype}{list(place.shape)}"
                )
            if place.buffer == CONSTANTS and name in step.node.outputs:
                faults.append(f"expected a buffer for {name!r}, got a place among the constants")
            faults += self._use(name, place.buffer, k)
        return faults

    def _use(self, name: str, buffer: int, k: int) -> list[str]:
        if buffer == CONSTANTS:
            return []
        if not 0 <= buffer < len(self.program.buffers):
            return [f"{name}: expected one of the program's {len(self.program.buffers)} buffers, got b{buffer}"]
        _, first, last, _ = self.program.buffers[buffer]
        return (
            [] if first <= k <= last else [f"{name}: expected a buffer that lives, got one of steps {first} to {last}"]
        )

    def _native(self, step: Instruction, k: int, regions: dict[int, Regions]) -> list[str]:
        faults = field_faults(step)
        # NOTE: a kind without a meaning has no regions to hold; a test finds it
        if faults or step.kind not in self.meanings:
            return faults
        try:
            found = self.meanings[step.kind].regions(site_of(self.program, step, self.constants))
        except VerifyError as error:
            return [str(error)]
        faults = self._operands(step, {n.partition(".")[0] for n in found})
        if not faults:
            faults = [f for name, region in found.items() for f in self._reach(step, name, region, k)]
        if not faults:
            faults = self._order(step, found)
        if not faults:
            regions[k] = found
        return faults

    def _order(self, step: Instruction, regions: Regions) -> list[str]:
        """A product that adds pairs in 16 bits has each step once, and adds no pair that can leave them."""
        if not step.fields.get("pairs"):
            return []
        if not {"w", "order"} <= {*step.constants}:
            return ["pairs: expected constant weights, and a constant order of their steps"]
        w, given = (regions[n].view(self.constants(), step.constants[n]) for n in ("w", "order"))
        wrong = wrong_steps(steps_of(self.program.isa, step.fields), w, given)
        return [f"order: expected each step once, no sum of a pair beyond 16 bits, got {wrong} others"] if wrong else []

    def _operands(self, step: Instruction, wanted: set[str]) -> list[str]:
        kind = INSTRUCTIONS[step.kind]
        got = {*step.operands, *step.constants}
        wanted = wanted | ({*APART} & {*kind.outs})
        faults = [f"expected operand {n}, got none" for n in sorted(wanted - got)]
        faults += [f"expected no operand {n}, got one" for n in sorted(got - wanted)]
        faults += [f"expected {n} once, got a buffer and a constant" for n in step.operands if n in step.constants]
        faults += [f"expected {n} in the arena, got a constant" for n in step.constants if n in kind.outs]
        for name, (buffer, _) in step.operands.items():
            if (buffer is None) != (name in APART) or buffer == CONSTANTS:
                faults.append(f"expected {name} {f'as {name}' if name in APART else 'in a buffer'}, got {buffer}")
        return faults

    def _reach(self, step: Instruction, name: str, region: Region, k: int) -> list[str]:
        """The elements lie in the buffer, or in the constants, and what a kernel may read behind them in the arena."""
        operand = name.partition(".")[0]
        if min(region.shape, default=0) < 0:
            return [f"{name}: expected sizes of at least 0, got {list(region.shape)}"]
        low, high = region.reach()
        if operand in step.constants:
            at = step.constants[operand]
            piece = int(
                np.searchsorted(self.ends, at, "right")
            )  # NOTE: each constant is a piece of the constant pool, and so is what lies between
            first, limit = (
                (int(self.ends[piece - 1]) if piece else 0),
                (int(self.ends[piece]) if piece < len(self.ends) else -1),
            )
            at, limit, where = at - first, limit - first, f"the {limit - first} bytes of its constant"
        else:
            index, at = step.operands[operand]
            assert index is not None
            faults = self._use(operand, index, k)
            if faults:
                return faults
            buffer = self.program.buffers[index]
            limit, where = buffer.size, f"the {buffer.size} bytes of its buffer"
            behind = buffer.offset + at + high + OVER_READ - self.program.arena_size
            if high > low and behind > 0:
                return [f"{name}: expected {OVER_READ} bytes of the arena behind it, got {OVER_READ - behind}"]
        if high > low and (at + low < 0 or at + high > limit):
            return [f"{name}: expected bytes within {where}, got [{at + low}, {at + high})"]
        if operand in INSTRUCTIONS[step.kind].outs and not region.is_distinct():
            return [f"expected each byte of {name} to be written once, got some twice"]
        return []
