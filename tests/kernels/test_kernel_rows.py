"""Every row of the kernel table beside the meaning of its instruction, bit for bit, with sizes at the edges of its
tiles.

A kernel that is added as a row is tested here without a line of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from kernel_targets import KERNEL_TARGETS

from qglow.errors import KernelError
from qglow.graph import Array
from qglow.instructions.meaning import Regions
from qglow.instructions.program import Instruction
from qglow.instructions.table import INSTRUCTIONS
from qglow.instructions.verify_fields import field_faults
from qglow.kernels import library
from qglow.kernels.sizes import SCRATCH_BYTES
from qglow.kernels.table import ELEMENT, KERNELS, KernelRow, accepting, kernel_of, rows_of, table
from qglow.targets import TARGETS, target
from tests.kernels.row_fields import Draw, Fields
from tests.kernels.row_memory import KERNEL, Memory

CASES, TRIES = 12, 2000
PIECES = (1, 3)


def instruction(kind: str, fields: Fields) -> Instruction:
    return Instruction(kind, {}, {}, fields)


def drawn(row: KernelRow, isa: str) -> Iterator[tuple[Fields, np.random.Generator]]:
    """Fields that a row accepts, others among them that the rows before it do too."""
    rng = np.random.default_rng(zlib.crc32(f"{row.name} {isa}".encode()))
    draw, found = Draw(rng, row.instruction, row.blocking(target(isa)), isa), 0
    for _ in range(TRIES):
        fields = draw.fields()
        assert not field_faults(instruction(row.instruction, fields)), (
            fields,
            field_faults(instruction(row.instruction, fields)),
        )
        if row.accepts(fields, target(isa)):
            found += 1
            yield fields, rng
            if found == CASES:
                return
    raise AssertionError(f"{row.name} on {isa}: {found} of {TRIES} drawn instructions are accepted, expected {CASES}")


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
            words, scratch[-8:] = m.row(address, got, scratch), 0
            for piece in range(pieces):
                call(words.ctypes.data, piece % 2, piece, pieces)
            assert not differs(got, want, free, m.regions, m.at), f"{name} in {pieces} pieces: {fields}"
            assert bool(scratch[-8:].any()) == m.fails() or "fault" not in INSTRUCTIONS[row.instruction].outs


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
