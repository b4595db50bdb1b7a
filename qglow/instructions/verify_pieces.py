"""The parts of one instruction that several threads compute: apart from each other, byte by byte.

A kernel may divide its work along the axes that its meaning declares (`Meaning.cut`), wherever it likes. So each
element along these axes is taken as a part of its own: where the smallest parts are apart, so is whatever is made of
them, for every number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from ..graph import Array
from .meaning import Meaning
from .region import Region

NOBODY = -1
Operand = tuple[str, Region, int]  # name, elements, address


def faults(
    meaning: Meaning,
    outputs: Sequence[Operand],
    inputs: Sequence[Operand],
    part_of: Callable[[Region, int], Array],
    used: Any = ...,
) -> Iterator[str]:
    """What keeps the parts from running at one time. inputs: those that no output is written over, element for element.

    part_of: of the bytes of a region, the entries of a table that says which part writes them, int32, NOBODY where none
    does; it is left so. used: an index of the bytes of x whose value matters.
    """
    outputs = [(name, region, at) for name, region, at in outputs if 0 not in region.shape]
    for first, end in meaning.cut:
        parts, numbers = 0, []
        for name, region, at in outputs:
            if len(region.shape) < end:
                yield f"expected {name} with the {end} axes along which work is divided, got {list(region.shape)}"
                return
            entries = part_of(region, at)
            sizes, behind = region.shape[first:end], entries.ndim - end
            numbers.append(
                np.arange(parts, parts + prod(sizes), dtype=np.int32).reshape(*(1,) * first, *sizes, *(1,) * behind)
            )
            entries[...] = numbers[-1]
            parts += prod(sizes)
        for (name, region, at), number in zip(outputs, numbers, strict=True):
            if (part_of(region, at) != number).any():
                yield (
                    f"expected each byte of {name} to be written by one part along axes {first} to {end - 1}, got some "
                    "by two"
                )
        for name, region, at in inputs:
            entries = part_of(region, at)
            if ((entries[used] if name == "x" and entries.size else entries) != NOBODY).any():
                yield f"expected no part to read bytes of {name} that a part writes"
        for _, region, at in outputs:
            part_of(region, at)[...] = NOBODY
