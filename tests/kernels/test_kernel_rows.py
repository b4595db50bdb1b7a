"""Every row of the kernel table beside the meaning of its instruction, bit for bit, with sizes at the edges of its tiles.

A kernel that is added as a row is tested here without a line of its own.
"""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from kernel_targets import KERNEL_TARGETS
from row_fields import Draw, Fields, constant

from qglow.errors import KernelError
from qglow.graph import Array
from qglow.instructions.meaning import Regions, meaning_of
from qglow.instructions.program import Instruction
from qglow.instructions.region import Region, Site
from qglow.instructions.table import HEADER, INSTRUCTIONS
from qglow.instructions.verify_fields import field_faults
from qglow.kernels import library
from qglow.kernels.sizes import SCRATCH_BYTES
from qglow.kernels.table import ELEMENT, KERNELS, KernelRow, accepting, kernel_of, rows_of, table
from qglow.targets import TARGETS, target

KERNEL = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)
CASES, TRIES, CANARY, GAP = 12, 2000, 0x5C, 192
PIECES = (1, 3)


def instruction(kind: str, fields: Fields) -> Instruction:
    return Instruction(kind, {}, {}, fields)


def drawn(row: KernelRow, isa: str) -> Iterator[tuple[Fields, np.random.Generator]]:
    """Fields that a row accepts, others among them that the rows before it do too."""
    rng = np.random.default_rng(zlib.crc32(f"{row.name} {isa}".encode()))
    draw, found = Draw(rng, row.instruction, row.blocking(target(isa)), isa), 0
    for _ in range(TRIES):
        fields = draw.fields()
        assert not field_faults(instruction(row.instruction, fields)), (fields, field_faults(instruction(row.instruction, fields)))
        if row.accepts(fields, target(isa)):
            found += 1
            yield fields, rng
            if found == CASES:
                return
    raise AssertionError(f"{row.name} on {isa}: {found} of {TRIES} drawn instructions are accepted, expected {CASES}")


class Memory:
    """The operands of one instruction in one piece of memory, with gaps that nothing may write."""

    def __init__(self, kind: str, fields: Fields, isa: str, rng: np.random.Generator) -> None:
        self.kind, self.fields, self.isa = kind, fields, isa
        self.given = {n: a for n in INSTRUCTIONS[kind].consts if (a := constant(n, kind, fields, isa, rng)) is not None}
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
        if region.dtype == "<f4":
            view[...] = rng.normal(0.3, 2, region.shape).astype(np.float32)
        elif region.dtype == "<i4":
            view[...] = rng.integers(-3000, 3000, region.shape)
        else:
            view[...] = rng.integers(0, 256, region.shape).astype(np.uint8).view(view.dtype) if view.itemsize == 1 else rng.integers(0, 256)

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
        for name, value in self.fields.items():
            words[kind.index(name)] = int(np.float32(value).view(np.uint32)) if name.startswith("f_") else value
        return words

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


def differs(got: Array, want: Array, free: Array, regions: Regions, at: dict[str, int]) -> bool:
    """Whether any byte does, a NaN being a NaN."""
    want = want.copy()
    for name, region in regions.items():
        if region.dtype == "<f4":
            a, b = (region.view(m, at[name.partition(".")[0]]) for m in (got, want))
            both = np.isnan(a) & np.isnan(b)
            b[both] = a[both]
    return bool(((got != want) & ~free).any())


@pytest.mark.parametrize("isa", KERNEL_TARGETS)
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_gives_the_bits_of_its_instruction(name: str, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = KERNELS[name]
    if not row.on(target(isa)):
        pytest.skip(f"{name} is not compiled for {isa}")
    monkeypatch.setenv("QGLOW_ISA", isa)
    monkeypatch.setenv("QGLOW_EMULATE", "1")
    address, scratch = library.load(isa).address(name), np.zeros(SCRATCH_BYTES * 2, np.uint8)
    call = KERNEL(address)
    for fields, rng in drawn(row, isa):
        m = Memory(row.instruction, fields, isa, rng)
        want, free = m.expected()
        for pieces in PIECES:
            got = m.bytes.copy()
            words = m.row(address, got, scratch)
            for piece in range(pieces):
                call(words.ctypes.data, piece % 2, piece, pieces)
            assert not differs(got, want, free, m.regions, m.at), f"{name} in {pieces} pieces: {fields}"


@pytest.mark.parametrize("isa", TARGETS)
@pytest.mark.parametrize("kind", INSTRUCTIONS)
def test_every_instruction_has_a_kernel(kind: str, isa: str) -> None:
    """Whatever its fields; and no row stands where the rows before it take all."""
    rng = np.random.default_rng(1)
    draw, chosen = Draw(rng, kind, {}, isa), set()
    edges = [row.blocking(target(isa)) for row in rows_of(kind, isa)]
    for k in range(300):
        draw.edges = edges[k % len(edges)]
        step = instruction(kind, draw.fields())
        chosen.add(kernel_of(step, isa).name)
        assert kernel_of(step, isa) == next(accepting(step, isa))
    assert chosen == {row.name for row in rows_of(kind, isa)}


def test_rows_have_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="two kernels are named add"):
        table((KERNELS["add"], KERNELS["add"]._replace(cost=ELEMENT + 1)))
    with pytest.raises(KernelError, match="no kernel blockwise_matmul of avx2 computes a blockwise_matmul"):
        kernel_of(instruction("blockwise_matmul", {"bits": 3}), "avx2")
