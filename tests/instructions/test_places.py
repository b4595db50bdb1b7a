"""Values whose readers want them in another order, or with a border, than where they lie."""

from __future__ import annotations

import numpy as np
import pytest
from three_engines import kernels_agree, meaning_agrees

from qglow.graph import DType, Graph, GraphBuilder, Quant, TensorType
from qglow.reference import evaluate
from qglow.reference.integer_mean import exponent_table
from qglow.targets import TARGETS, choose

RNG = np.random.default_rng(0)


def u8(*shape: int, scale: float = 0.05, zero: int = 100) -> TensorType:
    return TensorType(DType.U8, shape, Quant.per_tensor(scale, zero))


def conv(b: GraphBuilder, x: str, out: TensorType, kernel: tuple[int, int], **attributes: object) -> str:
    channels = b.types[x].static_shape[1]
    shape = (out.static_shape[1], channels, *kernel)
    w = b.add_constant(
        "w", RNG.integers(-127, 128, shape).astype(np.int8), TensorType(DType.I8, shape, Quant.per_tensor(0.01, 0))
    )
    return b.add("Conv", (x, w), out, "conv", **attributes)


def check(graph: Graph) -> None:
    """All engines; of every instruction set the program, of this machine's the kernels."""
    feeds = {n: RNG.integers(0, 256, graph.types[n].static_shape).astype(np.uint8) for n in graph.inputs}
    for isa in TARGETS:
        program = meaning_agrees(graph, feeds, isa)
        if isa == choose(None)[0].name:
            kernels_agree(program, feeds, evaluate(graph, feeds))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_part_of_a_concatenation_read_with_a_border_to_its_right(order: tuple[int, int]) -> None:
    """Its pixels lie apart; those of another part between them may be read along, but not what lies behind the last."""
    b = GraphBuilder()
    b.types["x"] = u8(1, 3, 8, 8)
    a = conv(b, "x", u8(1, 2, 8, 8), (1, 1))
    c = conv(b, a, u8(1, 1, 8, 8), (1, 2), pads=(0, 0, 0, 1))
    parts = [(a, c)[k] for k in order]
    joined = b.add("Concat", tuple(parts), u8(1, 3, 8, 8), "joined", axis=1)
    check(b.build("concat", ["x"], [conv(b, joined, u8(1, 4, 8, 8), (1, 1))]))


@pytest.mark.parametrize("shape", [(1, 2, 1, 2), (2, 5, 4, 7), (1, 3, 6)])
def test_a_softmax_in_int8_read_by_a_float_window(shape: tuple[int, ...]) -> None:
    """It writes rows; the float pool reads channels-last."""
    b = GraphBuilder()
    b.types["x"] = u8(*shape)
    table = b.add_constant("t", exponent_table(0.05), TensorType(DType.I32, (256,)))
    s = b.add("QSoftmax", ("x", table), u8(*shape, scale=1 / 255, zero=0), "s", axis=-1)
    f = b.add("Dequantize", (s,), TensorType(DType.F32, shape), "f")
    kernel = (1,) * (len(shape) - 2)
    check(b.build("softmax", ["x"], [b.add("MaxPool", (f,), TensorType(DType.F32, shape), "y", kernel_shape=kernel)]))
