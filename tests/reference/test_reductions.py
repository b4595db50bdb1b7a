"""Reductions of integers, and running sums: exact, within their type, or refused."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from qglow.errors import ModelError
from qglow.graph import Array, DType, GraphBuilder, TensorType
from qglow.reference import evaluate

KINDS = {
    np.int8: DType.I8,
    np.uint8: DType.U8,
    np.int32: DType.I32,
    np.int64: DType.I64,
    np.float32: DType.F32,
    np.float64: DType.F64,
}


def reduced(op: str, x: Array, axis: int, **attributes: int) -> Array:
    b = GraphBuilder()
    dtype = KINDS[x.dtype.type]
    b.types["x"] = TensorType(dtype, x.shape)
    shape = x.shape if op == "CumSum" else tuple(1 if k == axis else d for k, d in enumerate(x.shape))
    at = np.array(axis if op == "CumSum" else [axis])
    y = b.add(op, ("x", b.add_constant("axis", at)), TensorType(dtype, shape), "y", **attributes)
    return evaluate(b.build("one", ["x"], [y]), {"x": x})[y]


@pytest.mark.parametrize(
    "op", ["ReduceSum", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum"]
)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_sums_of_small_integers_are_refused(op: str, dtype: type) -> None:
    with pytest.raises(ModelError, match="would wrap around"):
        reduced(op, np.ones((2, 3), dtype), 1)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_extremes_of_small_integers(dtype: type) -> None:
    x: Array = np.array([[3, 100, 7], [0, 1, 2]], dtype)
    assert np.array_equal(reduced("ReduceMax", x, 1), [[100], [2]]) and np.array_equal(
        reduced("ReduceMin", x, 1), [[3], [0]]
    )


def test_a_mean_is_exact_where_the_sum_leaves_the_type() -> None:
    high, low = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    x: Array = np.array([[high, high, high - 2], [low, low, low], [low, high, -3], [-7, 0, 0]])
    assert reduced("ReduceMean", x, 1).ravel().tolist() == [high - 1, low, -1, -2]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_functions_of_integers(dtype: type) -> None:
    x: Array = np.array([[5, -2, 700], [-7, -7, -7]], dtype)
    assert np.array_equal(reduced("ReduceLogSumExp", x, 1), [[700], [-5]])  # -7 + log 3, towards zero
    assert np.array_equal(reduced("ReduceMean", x, 1), [[234], [-7]])
    assert reduced("ReduceSum", x, 1).dtype == dtype


def test_running_sums_do_not_drift() -> None:
    x = np.full((1, 2_000_000), 0.1, np.float32)
    exact = np.float64(np.float32(0.1)) * np.arange(1, x.size + 1)
    for backwards in (0, 1):
        y = reduced("CumSum", x, 1, reverse=backwards)[0]
        assert np.max(np.abs((y[::-1] if backwards else y) / exact - 1)) < 1e-7
    assert np.array_equal(reduced("CumSum", np.array([[2**31 - 1, 1]], np.int32), 1), [[2**31 - 1, -(2**31)]])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("shape", [(3, 1), (3, 2), (3, 3), (1, 1)])
def test_means_of_whole_numbers_are_cut_toward_zero(shape: tuple[int, int], dtype: type) -> None:
    """The mean of one number is the number."""
    x = np.random.default_rng(3).integers(-9, 10, shape).astype(dtype)
    assert reduced("ReduceMean", x, 1).ravel().tolist() == [math.trunc(Fraction(int(row.sum()), row.size)) for row in x]
