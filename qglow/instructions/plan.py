"""The memory plan: an offset in the arena for every buffer, so that buffers which live at the same time never overlap.

Largest first, each at the lowest offset that is free over its whole life (greedy by size, Pisarchyk and Lee, 2020).
"""

from __future__ import annotations

from ..errors import VerifyError
from .program import Buffer, Program

ALIGNMENT = 64
SLACK = 256  # NOTE: kernels may read, never write, a little beyond a buffer


def plan(program: Program) -> Program:
    """Set every buffer's offset and the arena's size."""
    placed: list[Buffer] = []
    for buffer in sorted(program.buffers, key=lambda b: (-b.size, b.first)):
        others = sorted((o for o in placed if o.first <= buffer.last and buffer.first <= o.last), key=lambda o: o.offset)
        offset = SLACK
        for other in others:
            if offset + buffer.size <= other.offset:
                break
            offset = max(offset, _up(other.offset + other.size))
        buffer.offset = offset
        placed.append(buffer)
    program.arena_size = max((b.offset + b.size for b in placed), default=SLACK) + SLACK
    return verify_plan(program)


def verify_plan(program: Program) -> Program:
    """Raise VerifyError where live buffers overlap or one lies outside of the arena."""
    for k, a in enumerate(program.buffers):
        if a.offset < 0 or a.offset + a.size > program.arena_size:
            raise VerifyError(f"buffer {k}: [{a.offset}, {a.offset + a.size}) is outside of the arena of {program.arena_size} bytes")
        for b in program.buffers[:k]:
            lives = a.first <= b.last and b.first <= a.last
            if lives and a.offset < b.offset + b.size and b.offset < a.offset + a.size:
                raise VerifyError(f"buffers at {a.offset} and {b.offset} overlap while both are live")
    return program


def _up(n: int) -> int:
    return -(-n // ALIGNMENT) * ALIGNMENT
