"""A view in another shape: the strides that numpy finds, or none where it would copy."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qglow.instructions.lower_move import reshaped_strides

SIZES = st.lists(st.sampled_from([1, 1, 2, 3, 4, 6]), min_size=0, max_size=4)


@st.composite
def views(draw: Any) -> tuple[np.ndarray, tuple[int, ...]]:
    """A view of an array, turned, cut or repeated, and another shape of as many elements."""
    x = np.arange(prod(shape := draw(SIZES)), dtype=np.int32).reshape(shape)
    x = x.transpose(draw(st.permutations(range(x.ndim))))
    for axis in range(x.ndim):
        if draw(st.integers(0, 4)) == 0:
            x = x.take([0], axis).repeat(1, axis)
            x = np.broadcast_to(x, (*x.shape[:axis], draw(st.integers(1, 3)), *x.shape[axis + 1 :]))
        elif draw(st.integers(0, 4)) == 0:
            x = x[(slice(None),) * axis + (slice(None, None, 2),)]
    left, target = x.size, []
    while left > 1:
        d = draw(st.sampled_from([k for k in range(2, left + 1) if left % k == 0]))
        target.append(d)
        left //= d
    for _ in range(draw(st.integers(0, 2))):
        target.insert(draw(st.integers(0, len(target))), 1)
    return x, tuple(target)


@settings(max_examples=500, deadline=None)
@given(views())
def test_strides_are_those_of_numpy(made: tuple[np.ndarray, tuple[int, ...]]) -> None:
    x, target = made
    strides = reshaped_strides(x.shape, x.strides, target, x.itemsize)
    wanted = x.reshape(target)
    assert (strides is not None) == np.shares_memory(x, wanted)
    if strides is not None:
        assert np.array_equal(np.lib.stride_tricks.as_strided(x, target, strides), wanted)
