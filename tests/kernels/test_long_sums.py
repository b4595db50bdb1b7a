"""Sums of more terms than a block has: kernels equal the reference at the edges of blocks, and errors stay within the
law's bound."""

from __future__ import annotations

import numpy as np
import pytest
from test_engines import every_thread_works, isa
from test_floats import check, floats

from qglow.graph import Array, GraphBuilder
from qglow.reference import evaluate, float_math
from qglow.reference.float_sums import BLOCK, sum_in_blocks, sum_of_terms
from qglow.runtime import InferenceSession

__all__ = ["every_thread_works", "isa"]
EDGES = [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 7]
BOUND = 5e-5  # of the law: BLOCK 2^-24, and the roundings of what stands in the sum and comes of it


@pytest.mark.parametrize("size", [16 * n + k for n, k in zip(EDGES, (15, 0, -15, 0, 3), strict=True)])
def test_rows(isa: str, size: int) -> None:
    b = GraphBuilder()
    b.types |= {"x": floats(3, size), "image": floats(1, 2, size, 1)}
    axes = b.add_constant("axes", np.array([1]))
    outputs = [b.add(op, ("x", axes), floats(3, 1), "r") for op in ("ReduceMax", "ReduceSum", "ReduceMean")]
    outputs += [b.add(op, ("x",), floats(3, size), "s") for op in ("Softmax", "LogSoftmax")]
    gain = b.add_constant("gain", np.linspace(1, 2, size, dtype=np.float32))
    outputs.append(b.add("LayerNormalization", ("x", gain, gain), floats(3, size), "n"))
    factors = [b.add_constant(n, np.array([0.5, 3], np.float32)) for n in ("scale", "shift")]
    outputs.append(b.add("InstanceNormalization", ("image", *factors), floats(1, 2, size, 1), "i"))
    check(b, ["x", "image"], outputs)


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("channels", [3, 70])
def test_columns_and_images(isa: str, size: int, channels: int) -> None:
    b = GraphBuilder()
    b.types |= {
        "x": floats(2, size, channels),
        "line": floats(2, channels, size),
        "image": floats(1, channels, 4, -(-size // 4)),
    }
    axes = b.add_constant("axes", np.array([1]))
    outputs = [b.add(op, ("x", axes), floats(2, 1, channels), "r") for op in ("ReduceMax", "ReduceSum", "ReduceMean")]
    outputs += [b.add(op, ("line",), floats(2, channels, 1), "g") for op in ("GlobalAveragePool", "GlobalMaxPool")]
    outputs.append(b.add("GlobalAveragePool", ("image",), floats(1, channels, 1, 1), "g"))
    both = b.add_constant("both", np.array([2, 3]))
    outputs.append(b.add("ReduceSum", ("image", both), floats(1, channels, 1, 1), "g"))
    check(b, ["x", "line", "image"], outputs)


@pytest.mark.parametrize("kernel", [(1, BLOCK + 1), (BLOCK + 1, 1), (23, 23), (32, 16), (37, 31), (2, 700)])
def test_windows_that_lie_partly_in_the_padding(isa: str, kernel: tuple[int, int]) -> None:
    b = GraphBuilder()
    size = tuple(k + 2 for k in kernel)
    b.types["x"] = floats(1, 69, *size)
    pads = tuple(k // 3 for k in kernel)
    out = floats(1, 69, *((d + 2 * p - k) // 2 + 1 for d, p, k in zip(size, pads, kernel, strict=True)))
    window = {"kernel_shape": kernel, "strides": (2, 2), "pads": (*pads, *pads)}
    check(b, ["x"], [b.add("AveragePool", ("x",), out, "p", **window, count_include_pad=k) for k in (0, 1)])


@pytest.mark.parametrize("size", [1, *EDGES])
def test_both_forms_of_the_law_are_one(size: int) -> None:
    x = np.random.default_rng(size).normal(0, 1, (size, 3)).astype(np.float32)
    assert np.array_equal(sum_in_blocks(x), sum_of_terms(iter(x)))
    if size <= BLOCK:
        assert np.array_equal(sum_in_blocks(x), np.cumsum(x, 0, dtype=np.float32)[-1])


def relative(y: Array, exact: Array) -> float:
    return float(np.max(np.abs(y.astype(np.float64).reshape(exact.shape) - exact) / np.abs(exact)))


IMAGES = [
    lambda: np.random.default_rng(0).random((1, 2, 1500, 1500), np.float32),
    lambda: np.full((1, 2, 1500, 1500), 0.1, np.float32),
]


@pytest.mark.parametrize("image", IMAGES, ids=["uniform", "one color"])
def test_huge_images_stay_within_the_bound(image: object) -> None:
    x = image()  # type: ignore[operator]
    b = GraphBuilder()
    b.types |= {"x": floats(*x.shape), "column": floats(x[0, 0].size, 1)}
    spatial, first, last = (b.add_constant("axes", np.array(a)) for a in ([2, 3], [0], [1]))
    rows = b.add("Reshape", ("x", b.add_constant("shape", np.array([2, -1]))), floats(2, x[0, 0].size), "rows")
    total = floats(1, 2, 1, 1)
    sums = [b.add("ReduceSum", ("x", spatial), total, "s"), b.add("ReduceSum", (rows, last), floats(2, 1), "s")]
    sums.append(b.add("ReduceSum", ("column", first), floats(1, 1), "s"))
    means = [
        b.add("GlobalAveragePool", ("x",), total, "m"),
        b.add("AveragePool", ("x",), total, "m", kernel_shape=x.shape[2:]),
    ]
    squares = b.add("ReduceL2", ("x", spatial), total, "l")
    session = InferenceSession(b.build("huge", ["x", "column"], [*sums, *means, squares]))
    *y, square = session.run(None, {"x": x, "column": x[0, 0].reshape(-1, 1)})
    wide = x.astype(np.float64)
    exact = wide.sum((2, 3))
    for found, want in zip(y, (exact, exact, exact[0, :1], exact / 1500**2, exact / 1500**2), strict=True):
        assert relative(found.reshape(-1), want.reshape(-1)) < BOUND
    assert relative(square, np.sqrt((wide * wide).sum((2, 3)))) < BOUND


def test_windows_steps_and_borders_beyond_16_bits() -> None:
    b = GraphBuilder()
    b.types |= {"x": floats(1, 2, 150_000), "z": floats(70_000, 3)}
    window = {"kernel_shape": (70_000,), "strides": (66_000,), "pads": (69_000, 0)}
    outputs = [
        b.add("AveragePool", ("x",), floats(1, 2, 3), "p", **window),
        b.add("MaxPool", ("x",), floats(1, 2, 3), "m", **window),
    ]
    first = b.add_constant("first", np.array([0]))
    check(b, ["x", "z"], [*outputs, b.add("ReduceSum", ("z", first), floats(1, 3), "s")])


def test_running_sums_and_exponentials_stay_within_the_bound() -> None:
    x = np.full((1, 4_000_000), 0.1, np.float32)
    b = GraphBuilder()
    b.types["x"] = floats(*x.shape)
    same, axis = floats(*x.shape), b.add_constant("axis", np.array(1))
    names = [b.add("CumSum", ("x", axis), same, "c"), b.add("Softmax", ("x",), same, "s")]
    running, shares = evaluate(b.build("rows", ["x"], names), {"x": x}).values()
    assert relative(running[0], np.cumsum(x[0].astype(np.float64))) < 1e-7
    assert relative(shares[0], np.full(x.size, 1 / x.size)) < BOUND
    assert relative(float_math.ordered_sum(x), x.sum(1, dtype=np.float64)) < BOUND
