"""The second engine: what each kind of instruction means, slow and obvious, in numpy over the bytes of an arena.

A kind has two functions: its *regions*, the exact elements that it reads and writes as its fields say them, and its *meaning*, which
computes on arrays over these elements and touches nothing else. Kernels may read up to OVER_READ bytes beyond a region, and never write
beyond one. Families are in meaning_*.py; a test holds that every kind of the table is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..graph import Array
from .region import Region, Site

OVER_READ = 64
Regions = dict[str, Region]  # by operand; "operand.part" where one has several, "operand.any" for elements that get any value
Views = dict[str, Array]
RegionsOf = Callable[[Site], Regions]
Compute = Callable[[Views, Site], None]


@dataclass(frozen=True, slots=True)
class Meaning:
    """regions: what an instruction of the kind touches. compute: writes the output's views from those of the inputs.

    in_place: inputs that may be the output, element for element.
    """

    regions: RegionsOf
    compute: Compute
    in_place: tuple[str, ...] = ()


MEANINGS: dict[str, Meaning] = {}


def meaning(kind: str, regions: RegionsOf, in_place: tuple[str, ...] = ()) -> Callable[[Compute], Compute]:
    """Register the meaning of a kind."""

    def register(function: Compute) -> Compute:
        MEANINGS[kind] = Meaning(regions, function, in_place)
        return function

    return register


def image(s: Site, name: str, dtype: str = "|u1", channel: int | None = None) -> Region:
    """N x H x W x C elements with the strides NAME_n, NAME_h, NAME_w; channels are one element apart unless `channel` says their bytes."""
    strides = s.many(f"{name}_n {name}_h {name}_w")
    return Region(s.many("N H W C"), (*strides, int(dtype[2:]) if channel is None else channel), dtype)


def clipped(real: Array, zero: int, low: int, high: int) -> Array:
    """The law's last step: C(rint(real) + zero), as bytes. What is not a number becomes `low`."""
    rounded = np.rint(real).astype(np.float64)
    return np.clip(np.where(np.isnan(rounded), low, rounded + zero), low, high).astype(np.uint8)


def requantized(real: Array, s: Site) -> Array:
    return clipped(real, *s.many("zero low high"))


def centred(q: Array, zero: int) -> Array:
    """f32(q - zero)."""
    return (q.astype(np.int32) - np.int32(zero)).astype(np.float32)


def load_families() -> dict[str, Meaning]:
    """The table, filled."""
    from . import meaning_float, meaning_float_product, meaning_move, meaning_pointwise, meaning_product, meaning_rows, meaning_window  # noqa: F401

    return MEANINGS
