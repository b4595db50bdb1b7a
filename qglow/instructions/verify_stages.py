"""The verifiers of code generation's stages: what holds after each of them, found without the code that made it so.

1. fuse: a sound graph, whose fused nodes are held to what their parts are (graph/verify.py).
2. layouts: see `verify_layouts`.
3. select: with every buffer apart from the others and live all the time, the program is sound byte for byte
   (`verify_program`).
4. bufferize, plan: each step reads, and each output holds, the very bytes that it does with all buffers apart: written
   by the same step at the same place of the same operand. So no two values share bytes while both are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..errors import VerifyError
from ..graph import Array, Graph
from ..graph.verify import verify
from .interpret import blob_of, site_of
from .layout import Layouts, verify_layouts
from .meaning import OVER_READ, load_families
from .plan import ALIGNMENT
from .program import CONSTANTS, Buffer, Instruction, Program, TensorView
from .region import Region
from .table import INSTRUCTIONS
from .verify import verify_program
from .verify_memory import used_elements

UNWRITTEN = -1


def verify_stages(graph: Graph, made: Mapping[str, Graph | Layouts | Program]) -> None:
    """Hold what every stage made of a graph to its invariants. Raises VerifyError."""
    fused = verify(cast(Graph, made["fuse"]), fused=True)
    if (fused.inputs, fused.outputs) != (graph.inputs, graph.outputs):
        raise VerifyError(
            f"graph {graph.name!r}: expected fusing to keep inputs {graph.inputs} and outputs {graph.outputs}"
        )
    verify_layouts(fused, cast(Layouts, made["layouts"]))
    selected = apart(cast(Program, made["select"]))
    verify_program(selected)
    verify_dataflow(selected, apart(cast(Program, made["bufferize"])))
    verify_dataflow(selected, cast(Program, made["plan"]))


def apart(program: Program) -> Program:
    """The program with every buffer at a place of its own that lives all the time."""
    buffers, at = [], 0
    for b in program.buffers:
        buffers.append(Buffer(b.size, 0, len(program.steps), at))
        at += -(-(b.size + OVER_READ) // ALIGNMENT) * ALIGNMENT
    return program._replace(buffers=tuple(buffers), arena_size=at + OVER_READ)


def verify_dataflow(before: Program, after: Program) -> None:
    """Raise VerifyError unless every read of two programs of the same steps finds the same bytes."""
    for (where, name, want), (there, other, got) in zip(_reads(before), _reads(after), strict=True):
        if where != there or name != other:
            raise VerifyError(
                f"program {after.graph.name!r}: expected {name!r} to be read by {where}, got {other!r} by {there}"
            )
        if not np.array_equal(want, got):
            raise VerifyError(
                f"program {after.graph.name!r}, {where}: {name!r} is not what it was with all buffers apart"
            )


def _reads(program: Program) -> Iterator[tuple[str, str, Array]]:
    """Every read in order: by whom, of what, and for each byte who wrote it: each byte that is written gets a number of
    its own."""
    return _Trace(program).reads()


class _Trace:
    """For each byte of the arena the number that it got when it was written."""

    def __init__(self, program: Program) -> None:
        self.program, self.meanings, self.count = program, load_families(), 0
        self.numbers = np.full(program.arena_size, UNWRITTEN, np.int32)
        self.constants = blob_of(program)

    def reads(self) -> Iterator[tuple[str, str, Array]]:
        for name in self.program.graph.inputs:
            self._write(self._place(name))
        for k, step in enumerate(self.program.steps):
            yield from self._outputs(self.program.moments.get(k, ()), k)
            for b in self.program.buffers if k else ():
                if b.first == k:
                    self.numbers[b.offset : b.offset + b.size] = UNWRITTEN
            who = f"step {k}"
            reads, writes = (
                self._native(step) if isinstance(step, Instruction) else self._host(step.node.inputs, step.node.outputs)
            )
            for name, elements in reads:
                yield f"{who} ({step.kind if isinstance(step, Instruction) else step.node.op})", name, elements
            for elements in writes:
                self._write(elements)
        count, looked_at = len(self.program.steps), {n for names in self.program.moments.values() for n in names}
        yield from self._outputs(self.program.moments.get(count, ()), count)
        yield from self._outputs([n for n in self.program.graph.outputs if n not in looked_at], count)

    def _outputs(self, names: tuple[str, ...] | list[str], k: int) -> Iterator[tuple[str, str, Array]]:
        for name in names:
            if self._is_in_arena(name):
                yield f"whoever looks after {k} steps", name, self._place(name)

    def _native(self, step: Instruction) -> tuple[list[tuple[str, Array]], list[Array]]:
        reads, writes = [], []
        regions = self.meanings[step.kind].regions(site_of(self.program, step, lambda: self.constants))
        used = used_elements(self.program, step, regions, self.constants)
        for name, region in regions.items():
            operand = name.partition(".")[0]
            if operand not in step.constants:
                index, at = step.operands[operand]
                assert index is not None
                elements = self._elements(region, self.program.buffers[index].offset + at)
                if operand in INSTRUCTIONS[step.kind].outs:
                    writes.append(elements)
                else:
                    reads.append((name, elements[used] if name == "x" and elements.size else elements))
        return reads, writes

    def _host(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> tuple[list[tuple[str, Array]], list[Array]]:
        there = filter(self._is_in_arena, inputs)
        return [(n, self._place(n)) for n in there], [self._place(n) for n in outputs if n]

    def _write(self, elements: Array) -> None:
        elements[...] = np.arange(self.count, self.count + elements.size, dtype=np.int32).reshape(elements.shape)
        self.count += elements.size

    def _is_in_arena(self, name: str) -> bool:
        return name in self.program.places and self.program.places[name].buffer != CONSTANTS

    def _place(self, name: str) -> Array:
        place: TensorView = self.program.places[name]
        return self._elements(Region(place.shape, place.strides, place.dtype, place.start), self.program.base(place))

    def _elements(self, region: Region, at: int) -> Array:
        """The numbers of a region's bytes, to read and to write."""
        r = region.as_bytes()
        if 0 in r.shape:
            return np.empty(r.shape, np.int32)
        return cast(Array, as_strided(self.numbers[at + r.start :], r.shape, [4 * s for s in r.strides]))
