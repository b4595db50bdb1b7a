"""Scales so far apart that what is rounded nears 2^30: below it kernels compute the reference's bits, from there on the
host does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from qglow.graph import DType, Graph, GraphBuilder, Quant, TensorType
from qglow.instructions.lower import lower
from qglow.instructions.program import HostCall, Instruction
from qglow.reference import evaluate
from qglow.runtime import InferenceSession

BOUND = 2.0**30
Net = Callable[[GraphBuilder, float, int], str]


def u8(*shape: int, scale: float = 1.0, zero: int = 0) -> TensorType:
    return TensorType(DType.U8, shape, Quant.per_tensor(scale, zero))


def of_two(op: str, most: int) -> Net:
    """most: the largest magnitude before scaling."""

    def net(b: GraphBuilder, times: float, zero: int) -> str:
        b.types |= {"x": u8(1, 3, 8, 8, zero=zero), "z": u8(1, 3, 8, 8, zero=255 - zero)}
        return b.add(op, ("x", "z"), u8(1, 3, 8, 8, scale=most / (times * BOUND), zero=128), "y")

    return net


def of_one(op: str, height: int, width: int, **attributes: object) -> Net:
    def net(b: GraphBuilder, times: float, zero: int) -> str:
        b.types["x"] = u8(1, 3, 8, 8, zero=zero)
        inputs = ["x"]
        if op == "Resize":
            inputs += ["", b.add_constant("scales", np.array([1, 1, 2, 2], np.float32))]
        if op == "ReduceMean":
            inputs.append(b.add_constant("axes", np.array([2, 3], np.int64)))
        return b.add(
            op, tuple(inputs), u8(1, 3, height, width, scale=255 / (times * BOUND), zero=128), "y", **attributes
        )

    return net


def product(b: GraphBuilder, times: float, zero: int) -> str:
    b.types |= {"x": u8(4, 6, zero=zero), "z": u8(6, 5, zero=128)}
    return b.add("MatMul", ("x", "z"), u8(4, 5, scale=6 * 255 * 128 / (times * BOUND), zero=128), "y")


NETS: dict[str, Net] = {
    "Add": of_two("Add", 2 * 255), "Sub": of_two("Sub", 2 * 255), "Mul": of_two("Mul", 255 * 255), "MatMul": product,
    "AveragePool": of_one("AveragePool", 7, 7, kernel_shape=(2, 2)),
    "GlobalAveragePool": of_one("GlobalAveragePool", 1, 1),
    "ReduceMean": of_one("ReduceMean", 1, 1), "Resize": of_one("Resize", 16, 16, mode="linear"),
}  # fmt: skip


def graph_of(op: str, times: float, zero: int) -> Graph:
    b = GraphBuilder()
    y = NETS[op](b, times, zero)
    return b.build("bound", [n for n in ("x", "z") if n in b.types], [y])


@pytest.mark.parametrize("zero", [0, 255])
@pytest.mark.parametrize("times", [0.5, 0.99, 1.01, 3.9, 100.0])
@pytest.mark.parametrize("op", NETS)
def test_what_is_rounded_stays_below_the_bound(op: str, times: float, zero: int) -> None:
    graph, rng = graph_of(op, times, zero), np.random.default_rng(zero)
    native = [s.kind for s in lower(graph, "avx2").steps if isinstance(s, Instruction)]
    assert bool(native) == (times < 1), native
    for feeds in ({i: np.full(graph.types[i].static_shape, v, np.uint8) for i in graph.inputs} for v in (0, 255)):
        assert np.array_equal(InferenceSession(graph, 1).run(None, feeds)[0], evaluate(graph, feeds)["y"])
    feeds = {i: rng.choice(np.array([0, 1, 254, 255], np.uint8), graph.types[i].static_shape) for i in graph.inputs}
    assert np.array_equal(InferenceSession(graph, 1).run(None, feeds)[0], evaluate(graph, feeds)["y"])


PRODUCTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "Conv": ((1, 4, 3, 3), (2, 4, 2, 2)), "ConvTranspose": ((1, 4, 3, 3), (4, 2, 2, 2)), "Gemm": ((5, 4), (4, 2)),
    "MatMul": ((5, 4), (4, 2)),
}  # fmt: skip


@pytest.mark.parametrize(("bias", "scale", "native"), [
    (2**31 - 1, None, False), (2**31 - 1, 1.0, False), (2**31 - 1, 1e-9, False), (2**31 - 1, 1e-10, True),
    (2**31 - 1 - 20 * 255 * 127, None, True), (-(2**31), None, False), (1000, None, True), (1000, 1e4, False),
    (1000, 1.0, True),
])  # fmt: skip
@pytest.mark.parametrize("op", PRODUCTS)
def test_sums_of_products_stay_in_int32(op: str, bias: int, scale: float | None, native: bool) -> None:
    """Or it makes no difference: 2^31 of them are less than half a step of the output. scale: of the output's steps;
    None: floats."""
    (x, w), b = PRODUCTS[op], GraphBuilder()
    b.types["x"] = u8(*x, zero=3)
    weights = b.add_constant("w", np.full(w, 127, np.int8), TensorType(DType.I8, w, Quant.per_tensor(1.0, 0)))
    biases = b.add_constant("b", np.array([bias, 5], np.int32))
    shape = {"Conv": (1, 2, 2, 2), "ConvTranspose": (1, 2, 4, 4)}.get(op, (5, 2))
    y = b.add(
        op,
        ("x", weights, biases),
        TensorType(DType.F32, shape) if scale is None else u8(*shape, scale=1 / scale, zero=9),
        "y",
    )
    graph = b.build("sums", ["x"], [y])
    assert any(isinstance(s, HostCall) for s in lower(graph, "avx2").steps) != native
    for value in (0, 3, 255):
        feeds = {"x": np.full(x, value, np.uint8)}
        assert np.array_equal(InferenceSession(graph, 1).run(None, feeds)[0], evaluate(graph, feeds)[y])
