"""The steps of a program played through without values: which bytes each reads and writes, and who did so before.

Exact to the byte: operands are regions, and two regions of one buffer may lie between each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..graph import Array
from .barriers import written_out
from .interpret import blob_of, site_of
from .meaning import MEANINGS, Regions
from .packing import unpack
from .program import CONSTANTS, HostCall, Instruction, Program, TensorView
from .region import Region
from .table import INSTRUCTIONS
from .verify_pieces import NOBODY
from .verify_pieces import faults as faults_of_pieces

UNWRITTEN, INPUT = -2, -1
Fault = tuple[int, str]  # step, what is wrong with it


class Memory:
    """For each byte of the arena the step that wrote it last, and the one that read it last."""

    def __init__(self, program: Program, regions: dict[int, Regions]) -> None:
        self.program, self.regions = program, regions
        self.written = np.full(program.arena_size, UNWRITTEN, np.int32)
        self.read = np.full(program.arena_size, UNWRITTEN, np.int32)
        self.parts = np.full(program.arena_size, NOBODY, np.int32)
        self.since = 0  # the first step after the last barrier
        self.flags, self.constant_pool = written_out(program), blob_of(program)

    def faults(self) -> Iterator[Fault]:
        births: dict[int, list[tuple[int, int]]] = {}
        for b in self.program.buffers:
            births.setdefault(b.first, []).append((b.offset, b.offset + b.size))
        graph = self.program.graph
        for k, step in enumerate(self.program.steps):
            if k:
                yield from self._looked_at(k)
            for low, high in births.get(k, ()):
                self.written[low:high] = UNWRITTEN
            if k == 0:
                self._feed()
                yield from self._looked_at(0)
            if isinstance(step, HostCall):
                self.since = k + 1
                yield from ((k, fault) for fault in self._host(step, k))
            elif k in self.regions:
                yield from ((k, fault) for fault in self._native(step, k))
                self.since = k + 1 if self.flags[k] else self.since
        if not self.program.steps:
            self._feed()
        last, looked_at = len(self.program.steps), {n for names in self.program.moments.values() for n in names}
        yield from self._looked_at(last)
        yield from (
            self._unwritten(name, last, "by the end")
            for name in graph.outputs
            if name not in looked_at and self._lacks(name)
        )

    def _looked_at(self, k: int) -> Iterator[Fault]:
        if k in self.program.moments:
            self.since = k
            yield from (
                self._unwritten(n, k, f"when {k} steps have run") for n in self.program.moments[k] if self._lacks(n)
            )

    def _unwritten(self, name: str, k: int, when: str) -> Fault:
        return k - 1, f"expected output {name!r} to be written whole {when}"

    def _lacks(self, name: str) -> bool:
        """Whether a byte of a value is not written yet."""
        place = self.program.places.get(name)
        return place is not None and place.buffer != CONSTANTS and bool((self._of_place(place) == UNWRITTEN).any())

    def _of_place(self, place: TensorView) -> Array:
        """Who wrote the bytes of a place last."""
        region = Region(place.shape, place.strides, place.dtype, place.start)
        return _elements(self.written, region, self.program.base(place))

    def _feed(self) -> None:
        for name in self.program.graph.inputs:
            self._of_place(self.program.places[name])[...] = INPUT

    def _host(self, step: HostCall, k: int) -> Iterator[str]:
        places = self.program.places
        for name in filter(None, step.node.inputs):
            if name in places and self._lacks(name):
                yield f"expected {name!r} to be written before it is read"
        for name in filter(None, step.node.outputs):
            self._of_place(places[name])[...] = k

    def _native(self, step: Instruction, k: int) -> Iterator[str]:
        inputs: list[tuple[str, Region, int]] = []
        outputs: list[tuple[str, Region, int]] = []
        for name, region in self.regions[k].items():
            operand = name.partition(".")[0]
            if operand not in step.constants:
                buffer, at = step.operands[operand]
                assert buffer is not None
                side = outputs if operand in INSTRUCTIONS[step.kind].outs else inputs
                side.append((name, region, self.program.buffers[buffer].offset + at))
        used = used_elements(self.program, step, self.regions[k], self.constant_pool)
        for name, region, at in inputs:
            yield from self._reads(name, region, at, used)
        for name, region, at in outputs:
            yield from self._overwrites(name, region, at)
        meaning = MEANINGS[step.kind]
        shares = meaning.shares(site_of(self.program, step, lambda: self.constant_pool))
        allowed = {(region, at) for name, region, at in inputs if name in shares}
        written_over = allowed & {(region, at) for _, region, at in outputs}
        for name, region, at in inputs:
            if (region, at) not in written_over:
                _elements(self.read, region, at)[used if name == "x" else ...] = k
        for name, region, at in outputs:
            if (_elements(self.read, region, at) == k).any():
                sharing = [n for n, r, a in inputs if _meet(r, a, region, at)]
                yield f"expected {name} apart from what is read, got bytes that {' and '.join(sharing)} has too"
            if (_elements(self.written, region, at) == k).any():
                yield f"expected each byte of {name} to be written once, got some twice"
            _elements(self.written, region, at)[...] = k
        others = [(name, region, at) for name, region, at in inputs if (region, at) not in written_over]
        yield from faults_of_pieces(meaning, outputs, others, partial(_elements, self.parts), used)

    def _reads(self, name: str, region: Region, at: int, used: Any) -> Iterator[str]:
        writers = _elements(self.written, region, at)
        if not writers.size:
            return
        if name == "x":
            writers = writers[used]
        unwritten = int((writers == UNWRITTEN).sum())
        if unwritten:
            yield f"expected {name} to be written before it is read, got {unwritten} bytes that nothing wrote"
        if int(writers.max(initial=UNWRITTEN)) >= self.since:
            yield (
                f"expected a barrier between step {int(writers.max())}, which writes {name}, and this one, which reads "
                "it"
            )

    def _overwrites(self, name: str, region: Region, at: int) -> Iterator[str]:
        for table, verb in ((self.written, "writes"), (self.read, "reads")):
            others = _elements(table, region, at)
            if others.size and int(others.max()) >= self.since:
                yield (
                    f"expected a barrier between step {int(others.max())}, which {verb} bytes of {name}, and this one, "
                    "which writes them"
                )


def used_elements(program: Program, step: Instruction, regions: Regions, constant_pool: Array) -> Any:
    """An index of the elements of x whose value matters.

    NOTE: a product may read a byte of whatever value where all of its weights are zero: pixels padded to four channels.
    """
    if step.kind != "conv2d" or "w" not in step.constants:
        return ...
    g, c, kh, runs, run = (int(step.fields[n]) for n in ("G", "C", "KH", "runs", "run"))
    packed = regions["w"].view(constant_pool, step.constants["w"])
    used = (unpack(program.isa, packed, (g, c, kh, runs, run)) != 0).any(1)
    return ... if used.all() else np.s_[:, :, :, used]


def _elements(table: Array, region: Region, at: int) -> Array:
    """The entries of a table, which has an int32 a byte, for the bytes of a region."""
    r = region.as_bytes()
    if 0 in r.shape:
        return np.empty(r.shape, np.int32)
    return cast(Array, as_strided(table[at + r.start :], r.shape, [4 * s for s in r.strides]))


def _meet(a: Region, at: int, b: Region, there: int) -> bool:
    (low, high), (first, last) = a.reach(), b.reach()
    return at + low < there + last and there + first < at + high
