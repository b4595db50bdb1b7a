"""Which elements of memory an operand names: a strided array from the operand's address on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache, lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..errors import VerifyError
from ..graph import Array
from ..record import NamedTuple
from ..targets import Target, target

Fields = Mapping[str, int | float]


class Region(NamedTuple):
    """Elements of one dtype; strides and start, which counts from the operand's address, in bytes."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str = "|u1"
    start: int = 0

    @property
    def itemsize(self) -> int:
        return int(self.dtype[2:])

    def reach(self) -> tuple[int, int]:
        """First byte, and the one after the last, from the operand's address on; (0, 0) of no elements."""
        low = high = self.start
        for d, s in zip(self.shape, self.strides, strict=True):
            if d <= 0:
                return 0, 0
            if s < 0:
                low += (d - 1) * s
            else:
                high += (d - 1) * s
        return low, high + self.itemsize

    def is_distinct(self) -> bool:
        """Whether no byte is in two elements."""
        if 0 in self.shape:
            return True
        span = self.itemsize
        for stride, d in sorted((abs(s), d) for s, d in zip(self.strides, self.shape, strict=True) if d > 1):
            if stride < span:
                break
            span += stride * (d - 1)
        else:
            return True
        low, high = self.reach()
        if math.prod(self.shape) * self.itemsize > high - low:
            return False
        mask = np.zeros(high - low, np.uint8)
        self.as_bytes().view(mask, -low)[...] = 1
        return int(mask.sum()) == math.prod(self.shape) * self.itemsize

    def as_bytes(self) -> Region:
        """The same memory as bytes."""
        if self.itemsize == 1:
            return Region(self.shape, self.strides, "|u1", self.start)
        return Region((*self.shape, self.itemsize), (*self.strides, 1), "|u1", self.start)

    def view(self, memory: Array, at: int) -> Array:
        """The elements as an array over bytes of memory. Raises VerifyError where they are not all within it."""
        low, high = self.reach()
        if high > low and (at + low < 0 or at + high > memory.size):
            raise VerifyError(f"expected bytes within the {memory.size} that there are, got [{at + low}, {at + high})")
        if high == low:
            return np.zeros(self.shape, self.dtype)
        first = at + self.start
        return as_strided(memory[first : first + self.itemsize].view(self.dtype), self.shape, self.strides)


@lru_cache(1024)
def dense(shape: tuple[int, ...], dtype: str = "|u1") -> Region:
    """Elements without gaps, the last dimension innermost."""
    strides, step = [], int(dtype[2:])
    for d in reversed(shape):
        strides.append(step)
        step *= max(1, d)
    return Region(shape, tuple(reversed(strides)), dtype)


@cache
def _split(names: str) -> tuple[str, ...]:
    return tuple(names.split())


def _whole(number: int | float) -> int:
    """NOTE: what passes for an int stays as it is (see each.py)."""
    return number if isinstance(number, int) else int(number)


class Site:
    """One instruction, as far as its regions and its meaning depend on it.

    ints: reads the int32 elements [shape] of a constant operand.
    """

    __slots__ = ("fields", "ints", "isa")

    def __init__(self, fields: Fields, isa: str, ints: Callable[[str, tuple[int, ...]], Array]) -> None:
        self.fields, self.isa, self.ints = fields, isa, ints

    @property
    def packing(self) -> Target:
        return target(self.isa)

    def __getitem__(self, name: str) -> int:
        """An integer field."""
        return _whole(self.fields[name])

    def f32(self, name: str) -> np.float32:
        """A float field."""
        return np.float32(self.fields[name])

    def many(self, names: str) -> tuple[int, ...]:
        """Integer fields by names with spaces between."""
        fields = self.fields
        return tuple([_whole(fields[n]) for n in _split(names)])
