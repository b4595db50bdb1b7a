"""What a quantized type can hold, in integers and in the real numbers that they stand for."""

from __future__ import annotations

import pytest

from qglow.graph import DType, Quant, TensorType


@pytest.mark.parametrize(
    ("dtype", "zero", "integers", "real"),
    [
        (DType.U8, 100, (0, 255), (-50.0, 77.5)),
        (DType.U8, 0, (0, 255), (0.0, 127.5)),
        (DType.I8, 0, (-128, 127), (-64.0, 63.5)),
    ],
)
def test_limits(dtype: DType, zero: int, integers: tuple[int, int], real: tuple[float, float]) -> None:
    t = TensorType(dtype, (2,), Quant.per_tensor(0.5, zero))
    assert t.limits() == integers
    assert t.real_limits() == real
