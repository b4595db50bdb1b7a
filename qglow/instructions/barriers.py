"""Where threads must wait for each other: before an instruction that reads what others still write, or writes what others still read."""

from __future__ import annotations

from .program import Buffer, Native, Program
from .table import KINDS


def accesses(step: Native) -> tuple[list[Buffer], list[Buffer]]:
    """Buffers that an instruction reads, and those that it writes."""
    outs = KINDS[step.kind].outs
    reads: list[Buffer] = []
    writes: list[Buffer] = []
    for name, (buffer, _) in step.operands.items():
        if buffer is not None:
            (writes if name in outs else reads).append(buffer)
    return reads, writes


def barriers(steps: list[Native]) -> list[bool]:
    """For each of instructions that follow each other, whether a barrier comes after it. The last never needs one.

    Instructions that write one buffer write different parts of it; only `fill` covers what another writes.
    """
    flags = [False] * len(steps)
    reading: list[Buffer] = []
    writing: list[Buffer] = []
    filled: list[Buffer] = []
    for k, step in enumerate(steps):
        reads, writes = accesses(step)
        others = writing if step.kind == "fill" else [w for w in writing if all(w is not own for own in writes)] + filled
        if k and (_meet(reads, writing) or _meet(writes, reading) or _meet(writes, others)):
            flags[k - 1] = True
            reading, writing, filled = [], [], []
        reading += reads
        writing += writes
        if step.kind == "fill":
            filled += writes
    return flags


def flags_of(program: Program) -> list[bool]:
    """For each step whether threads wait for each other after it."""
    flags: list[bool] = []
    natives: list[Native] = []
    for step in (*program.steps, None):
        if isinstance(step, Native):
            natives.append(step)
            continue
        flags += [*barriers(natives)[:-1], True] if natives else []
        natives = []
        if step is not None:
            flags.append(True)
    return flags


def _meet(a: list[Buffer], b: list[Buffer]) -> bool:
    """Whether a buffer of one list shares bytes of the arena with one of the other."""
    return any(p.offset < q.offset + q.size and q.offset < p.offset + p.size for p in a for q in b)
