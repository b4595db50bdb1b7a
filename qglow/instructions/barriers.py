"""Where threads must wait for each other: before an instruction that reads what others still write, or writes what others still read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from .program import Buffer, Instruction, Program
from .table import INSTRUCTIONS


def accesses(step: Instruction) -> tuple[list[Buffer], list[Buffer]]:
    """Buffers that an instruction reads, and those that it writes."""
    outs = INSTRUCTIONS[step.kind].outs
    reads: list[Buffer] = []
    writes: list[Buffer] = []
    for name, (buffer, _) in step.operands.items():
        if buffer is not None:
            (writes if name in outs else reads).append(buffer)
    return reads, writes


def barriers(steps: list[Instruction]) -> list[bool]:
    """For each of instructions that follow each other, whether a barrier comes after it. The last never needs one.

    Instructions that write one buffer write different parts of it; only `fill` covers what another writes.
    """
    flags = [False] * len(steps)
    reading, writing, filled = Spans(), Spans(), Spans()
    for k, step in enumerate(steps):
        reads, writes = accesses(step)
        own = () if step.kind == "fill" else writes
        if k and (writing.meet(reads) or reading.meet(writes) or writing.meet(writes, own) or filled.meet(writes)):
            flags[k - 1] = True
            reading, writing, filled = Spans(), Spans(), Spans()
        reading.add(reads)
        writing.add(writes)
        if step.kind == "fill":
            filled.add(writes)
    return flags


class Spans:
    """Buffers in the order of their places, of which it is asked in logarithmic time whether others share bytes with them."""

    def __init__(self) -> None:
        self._buffers: list[Buffer] = []
        self._starts: list[int] = []
        self._ids: set[int] = set()
        self._largest = 0

    def add(self, buffers: list[Buffer]) -> None:
        for b in buffers:
            if id(b) not in self._ids:
                k = bisect_right(self._starts, b.offset)
                self._starts.insert(k, b.offset)
                self._buffers.insert(k, b)
                self._ids.add(id(b))
                self._largest = max(self._largest, b.size)

    def meet(self, buffers: Iterable[Buffer], but: Sequence[Buffer] = ()) -> bool:
        """Whether one of the given buffers shares bytes of the arena with one of these; `but`: those of these that do not count."""
        return any(self._meets(b, but) for b in buffers)

    def _meets(self, b: Buffer, but: Sequence[Buffer]) -> bool:
        """NOTE: one that begins more than the largest size before it cannot reach it, and few lie in between: buffers in use are apart."""
        end = b.offset + b.size
        for k in range(bisect_left(self._starts, b.offset - self._largest), bisect_left(self._starts, end)):
            other = self._buffers[k]
            if b.offset < other.offset + other.size and all(other is not x for x in but):
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
        flags += [*barriers(natives)[:-1], True] if natives else []
        natives = []
        if step is not None:
            flags.append(True)
    return flags
