"""Run a planned program by the meaning of its instructions: the engine between the graph's reference and the compiled
kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..errors import ModelError, VerifyError
from ..graph import Array
from ..reference import evaluate_node
from .meaning import Regions, Views, load_families
from .program import CONSTANTS, HostCall, Instruction, Program, Step, TensorView, bytes_of, put
from .region import Site
from .table import INSTRUCTIONS

UNWRITTEN = 0xA5  # NOTE: an arena that begins so, not with zeros, shows what depends on bytes that nothing wrote
CONSTANT_SLACK = 256


def run_program(program: Program, feeds: Mapping[str, Array], check: bool = False) -> dict[str, Array]:
    """Outputs by name. check: hold every instruction to writing its declared elements alone; raises VerifyError where
    it does not."""
    return Interpreter(program, check).run(feeds)


def site_of(program: Program, step: Instruction, bytes_of_constants: Callable[[], Array]) -> Site:
    """A step with access to its tables, for which the constants' bytes are asked only where it has some."""

    def ints(name: str, shape: tuple[int, ...]) -> Array:
        if name not in step.constants:
            raise VerifyError(f"expected a constant {name}, got none")
        constants = bytes_of_constants()
        at, size = step.constants[name], 4 * int(np.prod(shape))
        if not 0 <= at <= at + size <= constants.size:
            raise VerifyError(f"expected constant {name} within {constants.size} bytes, got [{at}, {at + size})")
        return constants[at : at + size].view("<i4").reshape(shape)

    return Site(step.fields, program.isa, ints)


def blob_of(program: Program) -> Array:
    """The constants' bytes, with the slack that kernels may read."""
    return np.frombuffer(b"".join(bytes_of(program.constant_pool)) + bytes(CONSTANT_SLACK), np.uint8)


class Interpreter:
    """A program, an arena, and the steps' meanings. Places of values are views of the arena."""

    def __init__(self, program: Program, check: bool = False) -> None:
        self.program, self.check, self.meanings = program, check, load_families()
        self.arena: Array = np.full(program.arena_size, UNWRITTEN, np.uint8)
        self.constants = blob_of(program)
        self.values = {n: self._view(p) for n, p in program.places.items()}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.feed(feeds)
        for number, step in enumerate(self.program.steps):
            self.step(number, step)
        return self.outputs()

    def feed(self, feeds: Mapping[str, Array]) -> None:
        for name, array in feeds.items():
            self.values[name][...] = array

    def outputs(self) -> dict[str, Array]:
        graph = self.program.graph
        return {n: np.array(self.values[n]) if n in self.values else graph.constants[n] for n in graph.outputs}

    def step(self, number: int, step: Step) -> None:
        """Run one step on the arena as it is."""
        if isinstance(step, HostCall):
            self._host(step)
            return
        before = self.arena.copy() if self.check else None
        site = site_of(self.program, step, lambda: self.constants)
        meaning, views = self.meanings[step.kind], self.views(step, site)
        if meaning.fails is not None and meaning.fails(views, site):
            raise ModelError(f"{step.kind} of {step.label!r}: an index lies outside of its axis")
        meaning.compute(views, site)
        if before is not None:
            stray = np.flatnonzero((before != self.arena) & ~self.writes(step))
            if stray.size:
                raise VerifyError(
                    f"step {number} ({step.kind}) writes byte {stray[0]} of the arena, which none of its outputs has"
                )

    def views(self, step: Instruction, site: Site) -> Views:
        """Arrays over the elements of each operand."""
        found = {}
        for name, region in self._regions(step, site).items():
            memory, at = self._where(step, name.partition(".")[0])
            found[name] = region.view(memory, at)
        return found

    def writes(self, step: Instruction) -> Array:
        """For each byte of the arena, whether the step's outputs have it."""
        return self._mask(step, lambda name: name.partition(".")[0] in INSTRUCTIONS[step.kind].outs)

    def any_value(self, step: Instruction) -> Array:
        """For each byte of the arena, whether the step may give it whatever value."""
        return self._mask(step, lambda name: name.endswith(".any"))

    def _mask(self, step: Instruction, wanted: Callable[[str], bool]) -> Array:
        mask = np.zeros(self.arena.size, np.bool_)
        site = site_of(self.program, step, lambda: self.constants)
        for name, region in self._regions(step, site).items():
            if wanted(name):
                _, at = self._where(step, name.partition(".")[0])
                region.as_bytes().view(mask.view(np.uint8), at)[...] = 1
        return mask

    def _regions(self, step: Instruction, site: Site) -> Regions:
        return self.meanings[step.kind].regions(site)

    def _where(self, step: Instruction, name: str) -> tuple[Array, int]:
        """The memory that an operand lies in, and the operand's address there."""
        if name in step.constants:
            return self.constants, step.constants[name]
        buffer, at = step.operands[name]
        assert buffer is not None, f"{step.kind}: {name} has no buffer"
        return self.arena, self.program.buffers[buffer].offset + at

    def _view(self, place: TensorView) -> Array:
        return place.view(self.constants if place.buffer == CONSTANTS else self.arena, self.program.base(place))

    def _host(self, step: HostCall) -> None:
        graph, node = self.program.graph, step.node
        inputs = [None if not i else self.values[i] if i in self.values else graph.constants[i] for i in node.inputs]
        for name, array in zip(node.outputs, evaluate_node(graph, node, inputs), strict=False):
            if name:
                put(self.values[name], np.asarray(array), node, name)
