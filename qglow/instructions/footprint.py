"""The footprint of an instruction: which bytes it reads and writes, from its operands' addresses on, as its fields
alone say.

It is what `meaning` and `field_faults` say of the instruction, kept for those that are sound by themselves under all
that it follows from: the kind, the instruction set, every field, and the tables that some kinds read their positions
from.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from math import prod
from operator import itemgetter, mul
from typing import Any

from ..errors import VerifyError
from ..graph import Array
from ..record import NamedTuple
from .meaning import meaning_of
from .program import Instruction
from .region import Region, Site
from .table import APART, INSTRUCTIONS
from .verify_fields import field_faults, hints_fit

KEPT = 4096  # footprints of instructions, and of values
TABLES = ("rows", "columns")  # constants whose elements say what is read
_footprints: dict[tuple[object, ...], Footprint] = {}


def reach(shape: tuple[int, ...], strides: tuple[int, ...], start: int) -> tuple[int, int]:
    """The first byte of the first and of the last of strided elements, of which there is one at least."""
    if len(shape) != len(strides):
        raise ValueError(f"{len(shape)} sizes and {len(strides)} strides")
    low, high = start, start + sum(map(mul, shape, strides)) - sum(strides)
    if strides and min(strides) < 0:
        back = sum([s * (d - 1) for d, s in zip(shape, strides, strict=True) if s < 0])
        low, high = low + back, high - back
    return low, high


class Access:
    """Bytes [low, high) from an operand's address on that hold all of a region's elements.

    Two accesses are the same only if they are one object, so that proofs may be kept by them.
    """

    __slots__ = ("_dims", "high", "low", "operand", "region")

    def __init__(self, operand: str, region: Region) -> None:
        """region: with elements."""
        shape, strides, dtype, start = region
        low, high = reach(shape, strides, start)
        self.operand, self.low, self.high, self.region = operand, low, high + int(dtype[2:]), region
        self._dims: tuple[tuple[int, int], ...] | None = None

    @property
    def dims(self) -> tuple[tuple[int, int], ...]:
        """(stride, count) of the region's bytes from `low` on, as few as there are, the innermost first; strides are
        positive."""
        if self._dims is None:
            shape, strides, dtype, _ = self.region
            dims = [(1, int(dtype[2:]))] if dtype[2:] != "1" else []
            for stride, d in sorted([(abs(s), d) for s, d in zip(strides, shape, strict=True) if d > 1]):
                if dims and stride == dims[-1][0] * dims[-1][1]:
                    dims[-1] = dims[-1][0], dims[-1][1] * d
                else:
                    dims.append((stride, d))
            self._dims = tuple(dims)
        return self._dims

    @property
    def dense(self) -> bool:
        """Whether every byte between is in one element."""
        return not self.dims or self.dims == ((1, self.high - self.low),)

    @property
    def count(self) -> int:
        """Bytes of all elements, those that are in several as often."""
        return prod([n for _, n in self.dims])

    @property
    def is_distinct(self) -> bool:
        """Whether no byte is in two elements."""
        span = 0
        for stride, n in self.dims:
            if stride <= span:
                return self.region.is_distinct()
            span += stride * (n - 1)
        return True


class Footprint(NamedTuple):
    """What an instruction asks for and touches; reads and writes leave out regions without elements."""

    operands: frozenset[str]
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]
    in_place: tuple[str, ...]


@lru_cache(KEPT)
def access(operand: str, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str, start: int) -> Access:
    """The bytes of strided elements."""
    return Access(operand, Region(shape, strides, dtype, start))


def footprint_of(
    step: Instruction, isa: str, ints: Callable[[Instruction, str, tuple[int, ...]], Array]
) -> Footprint | None:
    """None of an instruction that is not sound by itself. ints: reads int32 elements of a constant of a step."""
    kind = INSTRUCTIONS.get(step.kind)
    if kind is None or len(step.fields) != len(kind.fields) or (step.hints and not hints_fit(step.kind, step.hints)):
        return None
    try:
        key = (step.kind, isa, *_values(step.kind)(step.fields))
    except KeyError:
        return None
    if TABLES[0] in kind.consts:
        return _analysed(step, isa, ints)
    found = _footprints.get(key)
    if found is None:
        found = _analysed(step, isa, ints)
        if found is not None:
            if len(_footprints) >= KEPT:
                _footprints.clear()
            _footprints[key] = found
    return found


@cache
def _values(kind: str) -> Callable[[Any], tuple[Any, ...]]:
    """The values of a kind's fields in their order; of at least two, as every kind has."""
    return itemgetter(*INSTRUCTIONS[kind].fields)


def _analysed(
    step: Instruction, isa: str, ints: Callable[[Instruction, str, tuple[int, ...]], Array]
) -> Footprint | None:
    kind, meaning = INSTRUCTIONS[step.kind], meaning_of(step.kind)
    if meaning is None or field_faults(step):
        return None
    site = Site(step.fields, isa, lambda name, shape: ints(step, name, shape))
    try:
        regions = meaning.regions(site)
    except VerifyError:
        return None
    outs, axes = kind.outs, max([end for _, end in meaning.cut], default=0)
    operands = {name for name in APART if name in outs}
    reads: list[Access] = []
    writes: list[Access] = []
    for name, region in regions.items():
        operand = name.partition(".")[0]
        operands.add(operand)
        least = min(region.shape, default=0)
        if least <= 0:
            if least < 0:
                return None
            continue
        found = Access(operand, region)
        if operand not in outs:
            reads.append(found)
            continue
        if axes > len(region.shape) or not found.is_distinct:
            return None
        writes.append(found)
    return Footprint(frozenset(operands), tuple(reads), tuple(writes), meaning.shares(site))
