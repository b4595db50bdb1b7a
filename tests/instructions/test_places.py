"""Values whose readers want them in another order, or with a border, than where they lie."""

from __future__ import annotations

import numpy as np
import pytest
from three_engines import kernels_agree, meaning_agrees

from qglow.graph import DType, Graph, GraphBuilder, Quant, TensorType
from qglow.instructions.lower import lower
from qglow.instructions.program import Instruction
from qglow.instructions.verify import verify_program
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


def cache(reads: int, run: int = 8, as_output: bool = False) -> tuple[Graph, dict[str, np.ndarray]]:
    """A cache that comes in, a part behind it that is made; `reads` more nodes read the cache."""
    b, f32 = GraphBuilder(), lambda *shape: TensorType(DType.F32, shape)
    b.types |= {"past": f32(1, 2, 9, run), "x": f32(1, 2, 1, run)}
    new = b.add("Relu", ("x",), b.types["x"], "new")
    joined = b.add("Concat", ("past", new), f32(1, 2, 10, run), "joined", axis=2)
    outputs = [joined, b.add("Sigmoid", (joined,), b.types[joined], "y")]
    outputs += [b.add("Relu", ("past",), b.types["past"], "read") for _ in range(reads)]
    graph = b.build("cache", ["past", "x"], [*outputs, *(["past"] if as_output else [])])
    return graph, {n: RNG.normal(0, 1, graph.types[n].static_shape).astype(np.float32) for n in graph.inputs}


@pytest.mark.parametrize(
    ("reads", "run", "as_output", "copies"), [(0, 8, False, 1), (1, 8, False, 2), (0, 7, False, 2), (0, 8, True, 2)]
)
def test_an_input_that_is_only_added_to_comes_into_the_sum_of_both(
    reads: int, run: int, as_output: bool, copies: int
) -> None:
    """What is new alone is copied; another reader, a short run, an output of the same name: all of it."""
    graph, feeds = cache(reads, run, as_output)
    for isa in TARGETS:
        program = meaning_agrees(graph, feeds, isa)
        assert sum(isinstance(s, Instruction) and s.kind == "copy" for s in program.steps) == copies
        past, joined = (program.places[n] for n in ("past", next(o for o in graph.outputs if o.startswith("joined"))))
        assert (past.buffer == joined.buffer) == (copies == 1)
        if isa == choose(None)[0].name:
            kernels_agree(program, feeds, evaluate(graph, feeds))


def test_a_value_with_room_lies_where_it_would_if_it_were_as_large() -> None:
    graph, feeds = cache(0)
    isa = choose(None)[0].name
    program = verify_program(lower(graph, isa, rooms={graph.outputs[0]: (1, 2, 64, 8)}))
    assert {program.places[n].strides for n in ("past", graph.outputs[0])} == {(4096, 2048, 32, 4)}
    assert program.places["past"].shape == (1, 2, 9, 8)
    kernels_agree(program, feeds, evaluate(graph, feeds))
