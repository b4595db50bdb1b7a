"""Planes of bytes to pixels without gaps: two to five planes, of lengths around sixteen."""

from __future__ import annotations

import numpy as np
import pytest
from test_engines import Small, every_thread_works, isa, u8

__all__ = ["every_thread_works", "isa"]


@pytest.mark.parametrize("planes", [2, 3, 4, 5])
def test_planes_to_pixels(isa: str, planes: int) -> None:
    lengths = (1, 15, 16, 17, 31, 32, 33, 48, 700)
    s, outputs = Small(*(u8(2, planes, length) for length in lengths)), []
    for k, length in enumerate(lengths):
        turned = s.b.add("Transpose", (f"x{k}",), u8(2, length, planes), "turned", perm=(0, 2, 1))
        shape = s.b.add_constant("shape", np.array([2 * length * planes], np.int64))
        outputs.append(s.b.add("Reshape", (turned, shape), u8(2 * length * planes), "flat"))
    s.check(*outputs)
