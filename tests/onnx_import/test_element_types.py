"""Constants of dtypes that no value has are widened, and keep each number."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from qglow.onnx_import.element_types import array_of

NUMBERS = [0.0, 1.0, -1.5, 2.0, 6.0]
NARROW = {
    "BFLOAT16": (ml_dtypes.bfloat16, np.float32),
    "FLOAT8E4M3FN": (ml_dtypes.float8_e4m3fn, np.float32),
    "FLOAT8E4M3FNUZ": (ml_dtypes.float8_e4m3fnuz, np.float32),
    "FLOAT8E5M2": (ml_dtypes.float8_e5m2, np.float32),
    "FLOAT8E5M2FNUZ": (ml_dtypes.float8_e5m2fnuz, np.float32),
    "FLOAT4E2M1": (ml_dtypes.float4_e2m1fn, np.float32),
    "INT4": (ml_dtypes.int4, np.int8),
    "UINT4": (ml_dtypes.uint4, np.uint8),
}


@pytest.mark.parametrize("name", NARROW)
def test_narrow_dtypes_are_widened(name: str) -> None:
    narrow, wide = NARROW[name]
    numbers = np.array(
        NUMBERS if wide is np.float32 else [0, 7, 3, 1, 5] if name == "UINT4" else [0, 7, -8, 1, -1], np.float32
    )
    tensor = numpy_helper.from_array(numbers.astype(narrow), "a")
    assert tensor.data_type == getattr(TensorProto, name)
    found = array_of(tensor)
    assert found.dtype == wide and np.array_equal(found, numbers)


def test_other_dtypes_stay() -> None:
    for dtype in (np.float16, np.float32, np.float64, np.int8, np.uint16, np.int64, np.bool_):
        found = array_of(helper.make_tensor("a", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), (2,), [1, 0]))
        assert found.dtype == dtype and found.tolist() == [1, 0]
