"""Floats beyond integer types become what x86 makes of them, whatever the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.reference.casts import cast

FLOATS = np.array(
    [2.0**31 - 1, 2.0**31, 3e9, 2.0**32, -(2.0**31), -(2.0**31) - 1, -2.9, 2.9, 300.7, np.nan, np.inf, -np.inf]
)
LEAST = -(2**31)


@pytest.mark.parametrize(("dtype", "wanted"), [
    (np.int32, [2**31 - 1, LEAST, LEAST, LEAST, LEAST, LEAST, -2, 2, 300, LEAST, LEAST, LEAST]),
    (np.int16, [-1, 0, 0, 0, 0, 0, -2, 2, 300, 0, 0, 0]),
    (np.uint8, [255, 0, 0, 0, 0, 0, 254, 2, 44, 0, 0, 0]),
    (np.uint32, [2**31 - 1, 2**31, 3 * 10**9, 0, 2**31, 2**31 - 1, 2**32 - 2, 2, 300, 0, 0, 0]),
    (np.int64, [2**31 - 1, 2**31, 3 * 10**9, 2**32, LEAST, LEAST - 1, -2, 2, 300, -(2**63), -(2**63), -(2**63)]),
])  # fmt: skip
def test_floats_beyond_an_integer_type(dtype: type, wanted: list[int]) -> None:
    got = cast(FLOATS, np.dtype(dtype))
    assert got.dtype == dtype and got.tolist() == wanted


def test_floats_beyond_64_bits() -> None:
    x = np.array([2.0**63, 2.0**64 - 2048, 2.0**64, -1.0, -(2.0**63), np.nan])
    assert cast(x, np.dtype(np.uint64)).tolist() == [2**63, 2**64 - 2048, 2**63, 2**64 - 1, 2**63, 2**63]
    assert cast(x, np.dtype(np.int64)).tolist() == [-(2**63), -(2**63), -(2**63), -1, -(2**63), -(2**63)]
