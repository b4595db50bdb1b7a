"""Where threads must wait for each other: before an instruction that reads what others still write, or writes what
others still read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from .program import Buffer, Instruction, Program
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
    """For each of instructions that follow each other, whether a barrier comes after it. The last never needs one.

    Instructions that write one buffer write different parts of it; only `fill` covers what another writes.
    """
    flags = [False] * len(steps)
    reading, writing, filled = Spans(buffers), Spans(buffers), Spans(buffers)
    for k, step in enumerate(steps):
        reads, writes = accesses(step)
        own = () if step.kind == "fill" else writes
        if k and (writing.meet(reads) or reading.meet(writes) or writing.meet(writes, own) or filled.meet(writes)):
            flags[k - 1] = True
            reading, writing, filled = Spans(buffers), Spans(buffers), Spans(buffers)
        reading.add(reads)
        writing.add(writes)
        if step.kind == "fill":
            filled.add(writes)
    return flags


class Spans:
    """Buffers in the order of their places, of which it is asked in logarithmic time whether others share bytes with
    them."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._all = buffers
        self._indices: list[int] = []
        self._starts: list[int] = []
        self._known: set[int] = set()
        self._largest = 0

    def add(self, indices: Iterable[int]) -> None:
        for index in indices:
            if index not in self._known:
                b = self._all[index]
                k = bisect_right(self._starts, b.offset)
                self._starts.insert(k, b.offset)
                self._indices.insert(k, index)
                self._known.add(index)
                self._largest = max(self._largest, b.size)

    def meet(self, indices: Iterable[int], but: Sequence[int] = ()) -> bool:
        """Whether one of the given buffers shares bytes of the arena with one of these; `but`: those of these that do
        not count."""
        return any(self._meets(self._all[k], but) for k in indices)

    def _meets(self, b: Buffer, but: Sequence[int]) -> bool:
        """NOTE: one that begins more than the largest size before it cannot reach it, and few lie in between: buffers
        in use are apart."""
        end = b.offset + b.size
        for k in range(bisect_left(self._starts, b.offset - self._largest), bisect_left(self._starts, end)):
            index = self._indices[k]
            other = self._all[index]
            if b.offset < other.offset + other.size and index not in but:
                return True
        return False


def flags_of(program: Program) -> list[bool]:
    """For each step whether threads wait for each other after it."""
    flags: list[bool] = []
    natives: list[Instruction] = []
    for step in (*program.steps, None):
        if isinstance(step, Instruction):
            natives.append(step)
            continue
        flags += [*barriers(natives, program.buffers)[:-1], True] if natives else []
        natives = []
        if step is not None:
            flags.append(True)
    return flags
