"""Where threads must wait for each other: before an instruction that reads what others still write, or writes what
others still read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from .program import Buffer, Instruction, Program
from .repeat import Repeat, parts_of
from .table import INSTRUCTIONS


def accesses(step: Instruction) -> tuple[list[int], list[int]]:
    """Indices of the buffers that an instruction reads, and of those that it writes."""
    outs = INSTRUCTIONS[step.kind].outs
    reads: list[int] = []
    writes: list[int] = []
    for name, (buffer, _) in step.operands.items():
        if buffer is not None:
            (writes if name in outs else reads).append(buffer)
    return reads, writes


def barriers(steps: Sequence[Instruction], buffers: Sequence[Buffer]) -> list[bool]:
    """For each of instructions that follow each other, whether a barrier comes after it. The last never needs one."""
    uses = _Uses(buffers)
    return [*[uses.wait(step) for step in steps][1:], False] if steps else []


def flags_of(program: Program) -> list[list[bool]]:
    """For each part of a program's steps, and of a repeat for each instruction, whether threads wait for each other
    after it."""
    flags: list[list[bool]] = []
    uses: _Uses | None = None
    for part in parts_of(program.steps):
        if isinstance(part, Instruction) and uses is not None:
            flags[-1][-1] = uses.wait(part)
            flags.append([True])
            continue
        uses = _Uses(program.buffers)
        if isinstance(part, Instruction):
            uses.wait(part)
            flags.append([True])
            continue
        flags.append([*barriers(part.body, program.buffers)[:-1], True] if isinstance(part, Repeat) else [True])
        uses = None
    return flags


def written_out(program: Program) -> list[bool]:
    """For each step whether threads wait for each other after it."""
    parts = zip(parts_of(program.steps), flags_of(program), strict=True)
    return [f for part, flags in parts for f in flags * (part.times if isinstance(part, Repeat) else 1)]


class _Uses:
    """Buffers that instructions since the last barrier use, in the order of their places.

    Instructions that write one buffer write different parts of it; only `fill` covers what another writes.
    """

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._buffers = buffers
        self._clear()

    def _clear(self) -> None:
        self._reading: list[tuple[int, int, int]] = []
        self._writing: list[tuple[int, int, int]] = []
        self._filled: list[tuple[int, int, int]] = []
        self._largest = 0

    def wait(self, step: Instruction) -> bool:
        """Whether a barrier comes before an instruction; it is one of those that use buffers from then on."""
        reads, writes = accesses(step)
        own = () if step.kind == "fill" else writes
        waits = (
            self._meet(self._writing, reads)
            or self._meet(self._reading, writes)
            or self._meet(self._writing, writes, own)
            or self._meet(self._filled, writes)
        )
        if waits:
            self._clear()
        self._add(self._reading, reads)
        self._add(self._writing, writes)
        if step.kind == "fill":
            self._add(self._filled, writes)
        return waits

    def _add(self, uses: list[tuple[int, int, int]], indices: Iterable[int]) -> None:
        for index in indices:
            size, _, _, low = self._buffers[index]
            use = (low, low + size, index)
            if use not in uses[-1:]:
                at = bisect_left(uses, use)
                if at == len(uses) or uses[at] != use:
                    uses.insert(at, use)
            if size > self._largest:
                self._largest = size

    def _meet(self, uses: list[tuple[int, int, int]], indices: Iterable[int], but: Sequence[int] = ()) -> bool:
        """Whether one of the given buffers shares bytes of the arena with those in use; `but`: of these, those that do
        not count.

        NOTE: one that begins more than the largest size before it cannot reach it, and few lie in between: buffers in
        use are apart.
        """
        for index in indices if uses else ():
            size, _, _, low = self._buffers[index]
            for k in range(bisect_left(uses, (low - self._largest,)), len(uses)):
                start, end, other = uses[k]
                if start >= low + size:
                    break
                if low < end and other not in but:
                    return True
        return False
