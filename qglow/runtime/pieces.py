"""How instructions are cut into pieces for several threads, and the tables of a segment from which a pool takes them.

What a piece is follows from the program and the number of threads asked for alone, never from who comes to compute it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod

import numpy as np

from ..graph import Array
from ..instructions.meaning import meaning_of
from ..instructions.program import Instruction, Program
from ..instructions.repeat import Repeat, parts_of
from ..instructions.table import INSTRUCTIONS
from ..kernels.table import KERNELS

MOST_PIECES = 65535  # of an owner in one segment; see the words of an owner in kernels/thread_pool.py
NOTES, PIECE = 6, 4  # words of a schedule that its runs are noted in (kernels/company.py), and of a piece
COSTS = {k.instruction: k.cost for k in KERNELS.values()}
_EXTENTS = ("N", "H", "W", "C", "K", "G", *(f"D{k}" for k in range(6)))


def products(step: Instruction) -> int:
    """Multiplications of a convolution or matrix product, in int8 ones; 0 of any other instruction."""
    f = step.fields
    if step.kind == "blockwise_matmul":
        return int(f["H"] * f["C"] * f["K"] * f["size"])
    if not step.kind.endswith(("conv2d", "depthwise2d")):
        return 0
    taps = f["KW"] if step.kind.endswith("depthwise2d") else f["runs"] * f["run"]
    elements = prod(int(f[k]) for k in ("N", "H", "W", "C", "KH")) * int(f.get("G", 1))
    return elements * int(taps) * COSTS[step.kind]


def work(step: Instruction) -> int:
    """About how many int8 products take the time of an instruction."""
    found = products(step)
    if found:
        return found
    return prod([step.fields[k] for k in _extents(step.kind)]) * COSTS[step.kind]  # type: ignore[return-value]


@cache
def _extents(kind: str) -> tuple[str, ...]:
    """The fields of a kind whose product its elements and their terms are."""
    return tuple(name for name in (*_EXTENTS, "KH", "KW") if name in INSTRUCTIONS[kind].fields)


def total(program: Program, of: Callable[[Instruction], int]) -> int:
    """The sum over all instructions of a program."""
    found = 0
    for part in parts_of(program.steps):
        if isinstance(part, Repeat):
            found += part.times * sum(map(of, part.body))
        elif isinstance(part, Instruction):
            found += of(part)
    return found


def pieces(step: Instruction, threads: int, small: int) -> int:
    """Pieces of an instruction: one where its work is below `small`, or its kind does not say how it may be divided."""
    if threads == 1 or work(step) < small:
        return 1
    found = meaning_of(step.kind)
    return threads if found is not None and found.cut else 1


class Schedule:
    """The pieces of instructions that run one after the other, as kernels/thread_pool.py reads them. address: of the
    first word."""

    def __init__(self, starts: Array, flags: Array, threads: int) -> None:
        """starts: int64 [rows], addresses of the rows of words; flags: int64 [rows], the second word of each: whether a
        barrier follows, and above its eighth bit the number of pieces."""
        counts, barriers = flags >> 8, flags & 1
        row = np.repeat(np.arange(len(starts)), counts)
        piece = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        owner = piece * threads // counts[row]
        phase = (np.cumsum(barriers) - barriers)[row]
        phases = int(phase[-1]) + 1 if len(phase) else 1
        of_owner = np.bincount(phase * threads + owner, minlength=phases * threads).reshape(phases, threads)
        table = np.column_stack([of_owner.sum(1), np.count_nonzero(of_owner, axis=1), of_owner]).astype(np.int64)
        self._phases, ends = table, np.cumsum(table[:, 0])
        following = np.where(phase == phases - 1, 0, table.ctypes.data + (phase + 1) * table.strides[0])
        words = np.column_stack([starts[row], piece, ends[phase], following]).astype(np.int64)
        self._lists = [words[owner == k].ravel() for k in range(threads)]
        self.fits = max(map(len, self._lists)) <= PIECE * MOST_PIECES
        self._words = np.array(
            [ends[-1], *[0] * NOTES, table.ctypes.data, *(one.ctypes.data for one in self._lists)], np.int64
        )
        self.address: int = self._words.ctypes.data
