"""What a node is lowered to at the edges of what kernels take: the program's steps, and the reference's bits."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.graph import Graph, GraphBuilder, Kind, Quant, TensorType
from qglow.instructions.lower import lower
from qglow.instructions.program import Native
from qglow.reference import evaluate
from qglow.runtime import InferenceSession

RNG = np.random.default_rng(0)
F32 = np.float32


def steps(graph: Graph) -> list[str]:
    """The kinds of a program's instructions; of steps on the host, the op."""
    return [s.kind if isinstance(s, Native) else s.node.op for s in lower(graph, "avx2").steps]


def same_bits(graph: Graph, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    want = evaluate(graph, feeds)
    for threads in (1, 2):
        session = InferenceSession(graph, threads)
        for _ in range(2):
            for name, got in zip(graph.outputs, session.run(None, feeds), strict=True):
                assert got.dtype == want[name].dtype and np.array_equal(got, want[name], equal_nan=got.dtype.kind == "f"), name
    return want


def f32(*shape: int) -> TensorType:
    return TensorType(Kind.F32, shape)


def test_the_border_of_a_value_that_no_kernel_writes_is_filled_once() -> None:
    """A sum along whose channels one operand is not adjacent runs on the host; the convolution behind it wants a border."""
    b = GraphBuilder()
    b.types |= {"x": f32(1, 3, 6, 5), "a": f32(1, 8, 6, 1)}
    w1 = b.add_constant("w1", RNG.normal(0, 1, (8, 3, 1, 1)).astype(F32))
    w2 = b.add_constant("w2", RNG.normal(0, 1, (4, 8, 3, 3)).astype(F32))
    total = b.add("Add", (b.add("Conv", ("x", w1), f32(1, 8, 6, 5), "first"), "a"), f32(1, 8, 6, 5), "total")
    graph = b.build("border", ["x", "a"], [b.add("Conv", (total, w2), f32(1, 4, 6, 5), "y", pads=(1, 1, 1, 1))])
    assert steps(graph) == ["transpose", "float_conv2d", "halo", "Add", "float_conv2d"]
    same_bits(graph, {"x": RNG.normal(0, 1, (1, 3, 6, 5)).astype(F32), "a": RNG.normal(0, 1, (1, 8, 6, 1)).astype(F32)})


@pytest.mark.parametrize(("group", "far", "on_host"), [(1, 1.0, False), (1, 3e4, True), (2, 3e4, True), (2, 3e2, False)])
def test_transposed_convolutions_whose_sums_near_int32(group: int, far: float, on_host: bool) -> None:
    """The bound of the sums counts the weights of each output channel, in each group."""
    channels, per = 4, 3
    w = np.full((channels, per, 2, 2), 127, np.int8)
    w[:, 1:] = RNG.integers(-3, 4, (channels, per - 1, 2, 2))
    b = GraphBuilder()
    b.types["x"] = TensorType(Kind.U8, (1, channels, 3, 4), Quant.per_tensor(1.0, 9))
    quant = Quant.per_axis(np.array([0.5, 0.25, 0.125]), 1) if group == 1 else Quant.per_tensor(0.5, 0)
    weights = b.add_constant("w", w, TensorType(Kind.I8, w.shape, quant))
    bias = b.add_constant("b", RNG.integers(-3000, 3000, per * group).astype(np.int32))
    out = TensorType(Kind.U8, (1, per * group, 6, 8), Quant.per_tensor(1 / far, 128))
    more = {"group": group} if group > 1 else {}  # NOTE: absent, it is 1
    y = b.add("ConvTranspose", ("x", weights, bias), out, "y", kernel_shape=(2, 2), strides=(2, 2), **more)
    graph = b.build("near", ["x"], [y])
    assert ("ConvTranspose" in steps(graph)) == on_host
    same_bits(graph, {"x": RNG.integers(0, 256, (1, channels, 3, 4)).astype(np.uint8)})


@pytest.mark.parametrize(("least", "most", "kinds"), [
    (-1.0, 0.5, ["float_conv2d"]),
    (-np.inf, 0.5, None), (-1.0, np.inf, None), (np.nan, 0.5, None), (-1.0, np.nan, None), (-np.inf, np.inf, None),
])  # fmt: skip
def test_bounds_behind_a_product_that_are_not_finite(least: float, most: float, kinds: list[str] | None) -> None:
    """Only finite bounds are part of the product; numpy's answers for the others."""
    b = GraphBuilder()
    b.types["x"] = f32(5, 8)
    w = b.add_constant("w", RNG.normal(0, 1, (8, 6)).astype(F32))
    limits = [b.add_constant(n, np.array(v, F32)) for n, v in (("least", least), ("most", most))]
    graph = b.build("bounds", ["x"], [b.add("Clip", (b.add("MatMul", ("x", w), f32(5, 6), "h"), *limits), f32(5, 6), "y")])
    assert steps(graph) == (kinds or ["float_conv2d", "Clip"])
    same_bits(graph, {"x": RNG.normal(0, 1, (5, 8)).astype(F32)})
