"""A program bound to memory and kernels, and run: native segments by the executor, host steps between them by the
reference."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, overload

import numpy as np

from ..float_mode import UsualMode
from ..graph import Array, Graph, Node
from ..graph.verify import verify_level
from ..instructions.meaning import OVER_READ
from ..instructions.program import CONSTANTS, HostCall, Instruction, Program, TensorView, put
from ..instructions.prove import prove
from ..instructions.repeat import Repeat, length, parts_of
from ..instructions.table import HEADER, INSTRUCTIONS
from ..kernels.library import Library
from ..kernels.sizes import SCRATCH_BYTES
from ..kernels.table import kernel_of
from ..reference import bind_node, bind_written, evaluate
from .arenas import aligned
from .constants import ConstantPool
from .guard import guarded, is_guarded
from .pieces import Schedule, pieces, products, total
from .thread_pool import pool_of

SMALL_WORK = 80_000_000  # products below which waking a second thread costs more than it gives
# an instruction of so small a part of that is one piece: a thread computes it before another is told of it
SMALL_PART = 1_600
_FLOAT, _FLOAT_BITS = struct.Struct("<f").pack, struct.Struct("<I").unpack
FAULT_BYTES = 64  # before the scratch memory: the word `fault`
_EXECUTE = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 2)


class Fault(Exception):
    """Data made an operation of a program an error, or more than its kernel takes: the reference tells which."""


def multiplications(program: Program) -> int:
    """Products that a program's convolutions and matrix products compute; one of floats takes the time of four of
    bytes."""
    return total(program, products)


def pool_size(program: Program, threads: int) -> int:
    """Of so many threads, those that a program is worth: all or one."""
    return threads if threads == 1 or multiplications(program) >= SMALL_WORK else 1


def check_program(program: Program) -> None:
    """The exact proof, and the text form (see NativePlan)."""
    from ..instructions.text import check_program_text  # NOTE: at the higher levels of verification alone
    from ..instructions.verify import verify_program  # NOTE: likewise

    check_program_text(verify_program(program))


def _word(array: Array) -> ctypes.c_int64:
    """The address of an array's data as an argument of a native function: ctypes takes it as it is, where an int costs
    time."""
    return ctypes.c_int64(array.ctypes.data)


class Rows(Sequence[Array]):
    """Rows of words one behind the other. ends: of each, words from the first row's first on."""

    def __init__(self, words: Array, lengths: Array) -> None:
        self.words, self.ends = words, np.cumsum(lengths)
        self.firsts = self.ends - lengths

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, k: int) -> Array: ...
    @overload
    def __getitem__(self, k: slice) -> list[Array]: ...
    def __getitem__(self, k: int | slice) -> Array | list[Array]:
        if isinstance(k, slice):
            return [self[j] for j in range(len(self))[k]]
        return self.words[self.firsts[k] : self.ends[k]]

    def starts(self) -> Array:
        """Addresses."""
        return np.asarray(self.words.ctypes.data + 8 * self.firsts)

    def flags(self) -> Array:
        """The second word of each."""
        return np.asarray(self.words[self.firsts + 1])


class Segment:
    """Native instructions that follow each other. start, count, schedule: what the executor and a pool take, made once.

    schedule: None on one thread, and where there are more pieces than a pool can count. can_fail: whether one of them
    may note a fault.
    """

    def __init__(self, rows: Sequence[Array], threads: int = 1, can_fail: bool = False) -> None:
        self.can_fail = can_fail
        self.rows = rows
        self.starts = rows.starts() if isinstance(rows, Rows) else np.array([r.ctypes.data for r in rows], np.int64)
        self.start, self.count = _word(self.starts), ctypes.c_int64(len(rows))
        self._tables = Schedule(self.starts, _flags_of(rows), threads) if threads > 1 else None
        self.schedule = ctypes.c_int64(self._tables.address) if self._tables is not None and self._tables.fits else None


def _flags_of(rows: Sequence[Array]) -> Array:
    return rows.flags() if isinstance(rows, Rows) else np.array([r[1] for r in rows], np.int64)


class HostStep:
    """A node that the reference computes, bound to the arrays that it reads and writes."""

    def __init__(self, graph: Graph, node: Node, views: Mapping[str, Array], fast: bool) -> None:
        self.node = node
        inputs = [None if not i else views[i] if i in views else graph.constants[i] for i in node.inputs]
        self._compute = bind_node(graph, node, inputs, fast)
        self._made = [(name, views[name] if name else None) for name in node.outputs]
        alone = self._made[0][1] if len(self._made) == 1 else None
        self._write = None if alone is None else bind_written(graph, node, inputs, alone)

    def run(self) -> None:
        if self._write is not None:
            self._write()
            return
        for (name, view), array in zip(self._made, self._compute(), strict=False):
            if view is not None:
                put(view, np.asarray(array), self.node, name)


class NativePlan:
    """A program with its arena, constants and native rows. fast: host steps in whatever order is fast, not in the
    law's."""

    fast = False

    def __init__(self, program: Program, library: Library, threads: int, pool: ConstantPool | None = None) -> None:
        """pool: where equal constants of other plans are; without one the plan has its own.

        Raises VerifyError for a program that would touch what is not its own, whatever QGLOW_VERIFY is; at 2 it is
        proven byte by byte as well, and its text parsed back equal (ModelError).
        """
        self._flags = prove(program)
        if verify_level() >= 2:
            check_program(program)
        self.library, self.threads = library, pool_size(program, threads)
        pool = pool or ConstantPool()
        self.constants, self._shared = pool.bind(program.constant_pool), pool.arena
        # NOTE: so the same bytes are not kept twice
        self.program = program._replace(constant_pool=tuple([b.data.data for b in self.constants.blocks]))
        self.graph = program.graph
        self._execute = _EXECUTE(library.address("execute"))
        self._allocate()
        self._bind()

    def _allocate(self) -> None:
        """Scratch memory and an arena of those that the session's plans share; with QGLOW_GUARD=1 each buffer by
        itself, between pages without access, and no arena."""
        scratch, size = FAULT_BYTES + SCRATCH_BYTES * self.threads, self.program.arena_size
        if is_guarded():
            self._bound, self.arena, self.scratch = self._shared.memory, aligned(0), guarded(scratch)
            self._own = [guarded(b.size, OVER_READ) for b in self.program.buffers]
            return
        self._bound = self._shared.take(scratch + size)
        self.scratch, self.arena = self._bound[:scratch], self._bound[scratch : scratch + size]
        self._own = []

    def _address(self, buffer: int) -> int:
        return int(self._own[buffer].ctypes.data) if self._own else self._base + self.program.buffers[buffer].offset

    def _view(self, place: TensorView) -> Array:
        if place.buffer == CONSTANTS:
            return self.constants.view(place)
        return place.view(self._own[place.buffer]) if self._own else place.view(self.arena, self.program.base(place))

    def _bind(self) -> None:
        """Addresses and views of this arena: all that a run would otherwise look up each time."""
        places = self.program.places
        self._base: int = self.arena.ctypes.data
        self._fault_word = self.scratch[:FAULT_BYTES].view(np.int64)
        self._fault_word[...] = 0
        self._fault: int = self.scratch.ctypes.data
        self._scratch: int = self._fault + FAULT_BYTES
        self._views = {n: self._view(p) for n, p in places.items()}
        self._outputs = self._found(self.program.graph)
        self._take(self._segments())

    def _found(self, graph: Graph) -> list[tuple[str, Array]]:
        """Where the outputs are when a run is done, by name."""
        return [(n, self._views[n] if n in self._views else graph.constants[n]) for n in graph.outputs]

    def _take(self, steps: list[Segment | Node]) -> None:
        """Run these steps from now on, on the views that are there."""
        self._steps, self._hosts = steps, dict[int, HostStep]()
        self._has_host_steps = any(isinstance(step, Node) for step in steps)

    @property
    def has_host_steps(self) -> bool:
        """Whether the reference computes a node."""
        return self._has_host_steps

    def refresh(self) -> None:
        """Move to where the session's memory is now."""
        if self._bound is not self._shared.memory and not self._own:
            self._allocate()
            self._bind()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; the arrays are the caller's."""
        try:
            self._compute(feeds)
        except Fault:
            return {n: np.array(a) for n, a in evaluate(self._whole_graph, feeds).items()}
        return {n: np.array(a) for n, a in self._outputs}

    def views(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, in this plan's memory: valid until the next run."""
        try:
            self._compute(feeds)
        except Fault:
            return evaluate(self._whole_graph, feeds)
        return dict(self._outputs)

    def _compute(self, feeds: Mapping[str, Array]) -> None:
        self.refresh()
        for name, array in feeds.items():
            self._views[name][...] = array
        if self._has_host_steps:
            with UsualMode(), np.errstate(all="ignore"):
                self._run_steps()
        else:
            self._run_steps()

    def _run_steps(self) -> None:
        alone = self.threads == 1
        for step in self._steps:
            if isinstance(step, Segment):
                if alone:
                    self._execute(step.start, step.count)
                else:
                    self._run_together(step)
                if step.can_fail:
                    self._check_fault()
            else:
                (self._hosts.get(id(step)) or self._host_step(step)).run()

    @property
    def _whole_graph(self) -> Graph:
        """What the reference computes where a kernel has noted a fault."""
        return self.graph

    def _check_fault(self) -> None:
        if self._fault_word[0]:
            self._fault_word[0] = 0
            raise Fault

    @property
    def nbytes(self) -> int:
        """Bytes that are this plan's alone."""
        own = sum(b.size for b in self.program.buffers) if self._own else 0
        return own + sum(
            s.rows.words.nbytes for s in self._steps if isinstance(s, Segment) and isinstance(s.rows, Rows)
        )

    # NOTE: a bound method kept in `self` would be a cycle, and keep the arena for long
    def _run_segment(self, s: Segment) -> None:
        if self.threads == 1:
            self._run_alone(s)
        else:
            self._run_together(s)

    def _run_alone(self, s: Segment) -> None:
        self._execute(s.start, s.count)

    def _run_together(self, s: Segment) -> None:
        pool = pool_of(self.library, self.threads)
        if pool is None or s.schedule is None:
            self._run_alone(s)
        else:
            pool.run(s.schedule, s.start, s.count)

    def _host_step(self, node: Node) -> HostStep:
        """The node, bound to what this plan has where."""
        if id(node) not in self._hosts:
            self._hosts[id(node)] = HostStep(self.graph, node, self._views, self.fast)
        return self._hosts[id(node)]

    def _run_host(self, node: Node) -> None:
        """A step by itself."""
        with UsualMode(), np.errstate(all="ignore"):
            self._host_step(node).run()

    def _segments(self) -> list[Segment | Node]:
        """Host steps, and between them segments, which end where values are looked at."""
        steps: list[Segment | Node] = []
        words: list[Array] = []
        lengths: list[int] = []
        kinds = set[str]()

        def close() -> None:
            if words:
                can_fail = any("fault" in INSTRUCTIONS[kind].outs for kind in kinds)
                steps.append(Segment(Rows(np.concatenate(words), np.array(lengths)), self.threads, can_fail))
                words.clear()
                lengths.clear()
                kinds.clear()

        k = 0
        for part, flags in zip(parts_of(self.program.steps), self._flags, strict=True):
            if k in self.program.moments:
                close()
            if isinstance(part, HostCall):
                close()
                steps.append(part.node)
            else:
                rows = self._rows(part, flags)
                words.append(rows.reshape(-1))
                body = part.body if isinstance(part, Repeat) else (part,)
                kinds.update(s.kind for s in body)
                lengths += [HEADER + len(_words(s.kind)[0]) for s in body] * len(rows)
            k += length(part)
        close()
        return steps

    def _rows(self, part: Instruction | Repeat, flags: Sequence[bool]) -> Array:
        """Words [times, words of all instructions one after the other]."""
        if isinstance(part, Instruction):
            return np.array([self._row(part, flags[0])], np.int64)
        rows = [self._row(step, flag) for step, flag in zip(part.body, flags, strict=True)]
        words = np.tile(np.array([w for row in rows for w in row], np.int64), (part.times, 1))
        first = 0
        for step, row, moves in zip(part.body, rows, part.moves, strict=True):
            for name, by in moves.items():
                words[:, first + _words(step.kind)[0][name]] += by * np.arange(part.times)
            first += len(row)
        return words

    def _row(self, step: Instruction, barrier: bool) -> list[int]:
        """The instruction's words: offsets become addresses here."""
        index, (first, end), values, floats = _words(step.kind)
        row = [0] * (HEADER + len(index))
        row[first:end] = values(step.fields)
        for k in floats:
            row[k] = _FLOAT_BITS(_FLOAT(row[k]))[0]
        row[0] = self.library.address(kernel_of(step, self.program.isa).name)
        row[1] = int(barrier) | pieces(step, self.threads, SMALL_WORK // SMALL_PART) << 8
        for name, (buffer, at) in step.operands.items():
            apart = self._fault if name == "fault" else self._scratch
            row[index[name]] = apart if buffer is None else self._address(buffer) + at
        for name, at in step.constants.items():
            row[index[name]] = self.constants.address(at)
        for name, hint in step.hints.items():
            row[index[name]] = hint
        return row


Words = tuple[dict[str, int], tuple[int, int], Callable[[Any], tuple[Any, ...]], list[int]]


@cache
def _words(kind: str) -> Words:
    """The word of each operand and field, the first word of the fields and the one after the last, how to get their
    values in order, and which of them are floats."""
    fields = INSTRUCTIONS[kind].fields
    index = {name: HEADER + k for k, name in enumerate(INSTRUCTIONS[kind].words)}
    first = index[fields[0]]
    floats = [index[name] for name in fields if name.startswith("f_")]
    return index, (first, first + len(fields)), itemgetter(*fields), floats
