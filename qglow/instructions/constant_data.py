"""Constants of a program: arrays as bytes, large packed weights as sequences that are made when they are read."""

from __future__ import annotations

import numpy as np

from ..graph import Array
from .packed import PackedFloats
from .packing import Packed, pack, pack_floats
from .program import ConstantData

SEARCHED = 65536  # bytes of a constant up to which an equal one is looked for


def data_of(array: Array) -> bytes:
    """An array's elements, dense."""
    return np.ascontiguousarray(array).tobytes()


def packed(isa: str, w: Array, fused: bool) -> ConstantData:
    """Weights [G, OC, KH, KW, IC] as `Packed` ones; few as bytes, of which equal ones are found."""
    found = Packed(isa, w, fused)
    return found if len(found) > SEARCHED else pack(isa, w, fused).tobytes()


def packed_floats(isa: str, w: Array) -> ConstantData:
    """Weights [G, OC, ...] as `PackedFloats`; few as bytes."""
    found = PackedFloats(isa, w)
    return found if len(found) > SEARCHED else pack_floats(isa, w.reshape(*w.shape[:2], -1)).tobytes()
