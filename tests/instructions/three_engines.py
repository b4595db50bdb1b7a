"""Hold the three engines against each other: the graph's reference, the instructions' meaning, and compiled kernels
step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qglow.graph import Array, Graph
from qglow.instructions.interpret import Interpreter, site_of
from qglow.instructions.lower import stages
from qglow.instructions.program import HostCall, Instruction, Program
from qglow.instructions.table import INSTRUCTIONS
from qglow.instructions.text import check_program_text
from qglow.instructions.verify import verify_program
from qglow.instructions.verify_stages import verify_stages
from qglow.kernels import library
from qglow.reference import evaluate, retype
from qglow.runtime import native
from qglow.runtime.native import NativePlan, Segment

GUARD, CANARY = 4096, 0x5C


class Guarded(NativePlan):
    """A plan whose arena lies between guards of bytes that nothing may write. work: as if programs were never small."""

    def __init__(self, program: Program, threads: int) -> None:
        kept, native.SMALL_WORK = native.SMALL_WORK, 0
        try:
            super().__init__(program, library.load(program.isa), threads)
            whole = native.aligned(program.arena_size + 2 * GUARD)
            whole[:] = CANARY
            self.whole, self.arena = whole, whole[GUARD : GUARD + program.arena_size]
            self._bind()
        finally:
            native.SMALL_WORK = kept

    def check_guards(self, where: str) -> None:
        for side, guard in (("before", self.whole[:GUARD]), ("after", self.whole[GUARD + self.program.arena_size :])):
            assert np.all(guard == CANARY), f"{where} writes {side} the arena"

    def step(self, step: Instruction | HostCall) -> None:
        if isinstance(step, HostCall):
            self._run_host(step.node)
        else:
            kept, native.SMALL_WORK = native.SMALL_WORK, 0
            try:
                segment = Segment([np.array(self._row(step, False))], self.threads)
            finally:
                native.SMALL_WORK = kept
            self._run_segment(segment)


def static(graph: Graph, feeds: Mapping[str, Array]) -> Graph:
    return retype(graph, {k: v.shape for k, v in feeds.items()})


def same(got: Mapping[str, Array], want: Mapping[str, Array], who: str) -> None:
    for name, array in want.items():
        assert got[name].dtype == array.dtype and np.array_equal(got[name], array, equal_nan=array.dtype.kind == "f"), (
            f"{who}: {name} differs"
        )


def meaning_agrees(graph: Graph, feeds: Mapping[str, Array], isa: str) -> Program:
    """The graph's reference and the meaning of its program for an instruction set; the program."""
    made = dict(stages(static(graph, feeds), isa))
    verify_stages(graph, made)
    program = made["plan"]
    assert isinstance(program, Program)
    check_program_text(verify_program(program))
    same(Interpreter(program, check=True).run(feeds), evaluate(graph, feeds), f"the meaning for {isa}")
    return program


def kernels_agree(
    program: Program, feeds: Mapping[str, Array], want: Mapping[str, Any], threads: tuple[int, ...] = (1, 2)
) -> None:
    """Compiled kernels as a whole, twice over one arena, and step by step beside the meaning: every byte of the arena
    is compared."""
    for count in threads:
        plan = Guarded(program, count)
        for _ in range(2):
            same(plan.run(feeds), want, f"{program.isa} kernels on {count} threads")
        plan.check_guards("the program")
    step_by_step(program, feeds, threads[-1])


def step_by_step(program: Program, feeds: Mapping[str, Array], threads: int) -> None:
    plan, law = Guarded(program, threads), Interpreter(program)
    plan.arena[...] = law.arena
    law.feed(feeds)
    for name, array in feeds.items():
        plan._views[name][...] = array
    for number, step in enumerate(program.steps):
        plan.step(step)
        law.step(number, step)
        where = f"step {number} ({step.kind if isinstance(step, Instruction) else step.node.op}) on {threads} threads"
        plan.check_guards(where)
        if isinstance(step, Instruction):
            free = law.any_value(step)
            law.arena[free] = plan.arena[free]
            agree_on_nan(step, law, plan.arena)
        wrong = np.flatnonzero(plan.arena != law.arena)
        assert not wrong.size, f"{where}: byte {wrong[0]} of the arena, of {wrong.size} that differ: " \
                f"expected {law.arena[wrong[0]]}, " \
            f"got {plan.arena[wrong[0]]}"  # fmt: skip


def agree_on_nan(step: Instruction, law: Interpreter, arena: Array) -> None:
    """What is not a number has many forms: take those of the kernels."""
    site = site_of(law.program, step, lambda: law.constants)
    for name, region in law.meanings[step.kind].regions(site).items():
        if region.dtype == "<f4" and name in INSTRUCTIONS[step.kind].outs:
            buffer, at = step.operands[name]
            assert buffer is not None
            want, got = (region.view(memory, law.program.buffers[buffer].offset + at) for memory in (law.arena, arena))
            both = np.isnan(want) & np.isnan(got)
            want[both] = got[both]


def all_agree(graph: Graph, feeds: Mapping[str, Array], isa: str, threads: tuple[int, ...] = (1, 2)) -> Program:
    program = meaning_agrees(graph, feeds, isa)
    kernels_agree(program, feeds, evaluate(graph, feeds), threads)
    return program


def with_all_values(graph: Graph) -> Graph:
    """The graph with every value that a node writes as an output: nothing is folded, and all is compared."""
    return graph.with_(outputs=tuple(o for n in graph.nodes for o in n.outputs if o))
