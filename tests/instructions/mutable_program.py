"""Programs as tests break them: the product's own are immutable, so a change is made in a copy whose parts can be
assigned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

from qglow.instructions.program import Buffer, HostCall, Instruction, Program, TensorView, instruction


@dataclass
class MutableBuffer:
    size: int
    first: int
    last: int
    offset: int


@dataclass
class MutableStep:
    kind: str
    operands: dict[str, tuple[int | None, int]]
    constants: dict[str, int]
    fields: dict[str, Any]
    hints: dict[str, int]
    label: str


class MutableProgram:
    """A copy of a program. steps: instructions as MutableStep, host calls as they are; buffers: MutableBuffer."""

    def __init__(self, program: Program) -> None:
        self.graph, self.isa, self.arena_size = program.graph, program.isa, program.arena_size
        self.steps = [_thawed(s) if isinstance(s, Instruction) else s for s in program.steps]
        self.places: dict[str, TensorView] = dict(program.places)
        self.buffers = [MutableBuffer(*b) for b in program.buffers]
        self.constant_pool, self.constant_pool_size = list(program.constant_pool), program.constant_pool_size
        self.moments = dict(program.moments)

    def instructions(self, kind: str = "") -> list[MutableStep]:
        """Those of a kind, or all."""
        return [s for s in self.steps if not isinstance(s, HostCall) and kind in ("", s.kind)]

    def buffer(self, step: MutableStep, operand: str) -> MutableBuffer:
        """The buffer that an operand lies in."""
        index = step.operands[operand][0]
        assert index is not None
        return self.buffers[index]

    def frozen(self) -> Program:
        steps = tuple(s if isinstance(s, HostCall) else instruction(**vars(s)) for s in self.steps)
        buffers = tuple(Buffer(*astuple(b)) for b in self.buffers)
        pool = tuple(self.constant_pool)
        return Program(
            self.graph,
            self.isa,
            steps,
            self.places,
            buffers,
            pool,
            self.constant_pool_size,
            self.arena_size,
            self.moments,
        )


def changed(program: Program, change: Callable[[MutableProgram], object]) -> Program:
    """The program after a change to a copy of it."""
    copy = MutableProgram(program)
    change(copy)
    return copy.frozen()


def _thawed(step: Instruction) -> MutableStep:
    return MutableStep(
        step.kind, dict(step.operands), dict(step.constants), dict(step.fields), dict(step.hints), step.label
    )
