"""The operands of one instruction in one piece of memory, for its meaning and for a kernel that is called by its
address."""

from __future__ import annotations

import ctypes

import numpy as np

from qglow.graph import Array
from qglow.instructions.meaning import meaning_of
from qglow.instructions.region import Region, Site
from qglow.instructions.table import HEADER, INSTRUCTIONS
from tests.kernels.row_fields import Fields, constant, order

KERNEL = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)  # instruction, worker, piece, pieces
CANARY, GAP = 0x5C, 192


class Memory:
    """The operands of one instruction in one piece of memory, with gaps that nothing may write."""

    def __init__(self, kind: str, fields: Fields, isa: str, rng: np.random.Generator) -> None:
        self.kind, self.fields, self.isa = kind, fields, isa
        self.given = {n: a for n in INSTRUCTIONS[kind].consts if (a := constant(n, kind, fields, isa, rng)) is not None}
        if fields.get("pairs"):
            self.given["order"] = order(fields, isa, self.given["w"])
        self.site = Site(fields, isa, lambda name, shape: self.given[name].view("<i4").reshape(shape))
        meaning = meaning_of(kind)
        assert meaning is not None
        self.meaning, self.regions = meaning, meaning.regions(self.site)
        self.at, size = self._places()
        self.bytes: Array = np.full(size, CANARY, np.uint8)
        for name, region in self.regions.items():
            self._fill(region, self.at[name.partition(".")[0]], rng)
        for name, array in self.given.items():
            self.bytes[self.at[name] : self.at[name] + array.size] = array

    def _places(self) -> tuple[dict[str, int], int]:
        """Where each operand's address is, and the bytes of all."""
        places, end = {}, GAP
        for operand in dict.fromkeys(n.partition(".")[0] for n in self.regions):
            reaches = [r.reach() for n, r in self.regions.items() if n.partition(".")[0] == operand]
            low, high = min(r[0] for r in reaches), max(r[1] for r in reaches)
            high = max(high, self.given[operand].size if operand in self.given else 0)
            places[operand] = (end - low + 63) // 64 * 64
            end = places[operand] + high + GAP
        return places, end

    def _fill(self, region: Region, at: int, rng: np.random.Generator) -> None:
        view = region.view(self.bytes, at)
        if region.dtype in ("<f2", "<f4"):
            view[...] = rng.normal(0.3, 2, region.shape).astype(region.dtype)
        elif region.dtype == "<i2":
            view[...] = rng.integers(-32768, 32768, region.shape)
        elif region.dtype == "<i4":
            limit = 4 if self.meaning.fails is not None else 3000  # NOTE: indices; some of them lie outside
            view[...] = rng.integers(-limit, limit, region.shape)
        elif region.dtype == "<i8":
            view[...] = rng.integers(-4, 4, region.shape)
        else:
            view[...] = (
                rng.integers(0, 256, region.shape).astype(np.uint8).view(view.dtype)
                if view.itemsize == 1
                else rng.integers(0, 256)
            )

    def row(self, address: int, memory: Array, scratch: Array) -> Array:
        """The native words over a memory like this one."""
        kind = INSTRUCTIONS[self.kind]
        words = np.zeros(HEADER + len(kind.words), np.int64)
        words[0] = address
        base = memory.ctypes.data
        for name, at in self.at.items():
            words[kind.index(name)] = base + at
        if "scratch" in kind.words:
            words[kind.index("scratch")] = scratch.ctypes.data
        if "fault" in kind.words:
            words[kind.index("fault")] = scratch.ctypes.data + scratch.nbytes - 8
        for name, value in self.fields.items():
            words[kind.index(name)] = int(np.float32(value).view(np.uint32)) if name.startswith("f_") else value
        return words

    def fails(self) -> bool:
        """Whether the instruction is an error on what its operands hold."""
        views = {n: r.view(self.bytes, self.at[n.partition(".")[0]]) for n, r in self.regions.items()}
        return self.meaning.fails is not None and self.meaning.fails(views, self.site)

    def expected(self) -> tuple[Array, Array]:
        """The bytes after the instruction, and which of them may have any value."""
        memory, free = self.bytes.copy(), np.zeros(self.bytes.size, np.uint8)
        views = {n: r.view(memory, self.at[n.partition(".")[0]]) for n, r in self.regions.items()}
        with np.errstate(all="ignore"):
            self.meaning.compute(views, self.site)
        for name, region in self.regions.items():
            if name.endswith(".any"):
                region.as_bytes().view(free, self.at[name.partition(".")[0]])[...] = 1
        return memory, free.astype(bool)
