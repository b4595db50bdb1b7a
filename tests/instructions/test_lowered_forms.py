"""What a node is lowered to at the edges of what kernels take: the program's steps, and the reference's bits."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.graph import DType, Graph, GraphBuilder, Node, Quant, TensorType
from qglow.instructions.lower import lower
from qglow.instructions.lower_product import terms_fit
from qglow.instructions.program import Instruction, TensorView
from qglow.reference import evaluate
from qglow.runtime import InferenceSession

RNG = np.random.default_rng(0)
F32 = np.float32


def steps(graph: Graph) -> list[str]:
    """The kinds of a program's instructions; of steps on the host, the op."""
    return [s.kind if isinstance(s, Instruction) else s.node.op for s in lower(graph, "avx2").steps]


def same_bits(graph: Graph, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    want = evaluate(graph, feeds)
    for threads in (1, 2):
        session = InferenceSession(graph, threads)
        for _ in range(2):
            for name, got in zip(graph.outputs, session.run(None, feeds), strict=True):
                assert got.dtype == want[name].dtype and np.array_equal(
                    got, want[name], equal_nan=got.dtype.kind == "f"
                ), name
    return want


def f32(*shape: int) -> TensorType:
    return TensorType(DType.F32, shape)


def test_the_border_of_a_value_that_no_kernel_writes_is_filled_once() -> None:
    """A sum along whose channels one operand is not adjacent runs on the host; the convolution behind it wants a
    border."""
    b = GraphBuilder()
    b.types |= {"x": f32(1, 3, 6, 5), "a": f32(1, 8, 6, 1)}
    w1 = b.add_constant("w1", RNG.normal(0, 1, (8, 3, 1, 1)).astype(F32))
    w2 = b.add_constant("w2", RNG.normal(0, 1, (4, 8, 3, 3)).astype(F32))
    total = b.add("Add", (b.add("Conv", ("x", w1), f32(1, 8, 6, 5), "first"), "a"), f32(1, 8, 6, 5), "total")
    graph = b.build("border", ["x", "a"], [b.add("Conv", (total, w2), f32(1, 4, 6, 5), "y", pads=(1, 1, 1, 1))])
    assert steps(graph) == ["transpose", "float_conv2d", "halo", "Add", "float_conv2d"]
    same_bits(graph, {"x": RNG.normal(0, 1, (1, 3, 6, 5)).astype(F32), "a": RNG.normal(0, 1, (1, 8, 6, 1)).astype(F32)})


@pytest.mark.parametrize(("group", "by_channel", "far", "on_host"), [
    (1, True, 1.0, False), (1, True, 3e4, True), (2, False, 3e4, True), (2, False, 3e2, False), (2, True, 3e4, True),
    (2, True, 3e2, False),
])  # fmt: skip
def test_transposed_convolutions_whose_sums_near_int32(group: int, by_channel: bool, far: float, on_host: bool) -> None:
    """The bound of the sums counts the weights of each output channel, in each group, where the scales of one group's
    serve all."""
    channels, per = 4, 3
    w = np.full((channels, per, 2, 2), 127, np.int8)
    w[:, 1:] = RNG.integers(-3, 4, (channels, per - 1, 2, 2))
    b = GraphBuilder()
    b.types["x"] = TensorType(DType.U8, (1, channels, 3, 4), Quant.per_tensor(1.0, 9))
    quant = Quant.per_axis(np.array([0.5, 0.25, 0.125]), 1) if by_channel else Quant.per_tensor(0.5, 0)
    weights = b.add_constant("w", w, TensorType(DType.I8, w.shape, quant))
    bias = b.add_constant("b", RNG.integers(-3000, 3000, per * group).astype(np.int32))
    out = TensorType(DType.U8, (1, per * group, 6, 8), Quant.per_tensor(1 / far, 128))
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
    graph = b.build(
        "bounds", ["x"], [b.add("Clip", (b.add("MatMul", ("x", w), f32(5, 6), "h"), *limits), f32(5, 6), "y")]
    )
    assert steps(graph) == (kinds or ["float_conv2d", "Clip"])
    same_bits(graph, {"x": RNG.normal(0, 1, (5, 8)).astype(F32)})


@pytest.mark.parametrize(("least", "most", "kinds"), [
    (-0.5, None, ["float_conv2d"]), (0.0, None, ["float_conv2d"]),
    (None, 0.5, ["float_conv2d", "float_unary"]), (None, None, ["float_conv2d", "Clip"]),
])  # fmt: skip
def test_bounds_behind_a_product_that_are_not_there(least: float | None, most: float | None, kinds: list[str]) -> None:
    b = GraphBuilder()
    b.types["x"] = f32(5, 8)
    w = b.add_constant("w", RNG.normal(0, 1, (8, 6)).astype(F32))
    limits = [
        b.add_constant(n, np.array(v, F32)) if v is not None else "" for n, v in (("least", least), ("most", most))
    ]
    graph = b.build(
        "bounds", ["x"], [b.add("Clip", (b.add("MatMul", ("x", w), f32(5, 6), "h"), *limits), f32(5, 6), "y")]
    )
    assert steps(graph) == kinds
    x = RNG.normal(0, 1, (5, 8)).astype(F32)
    x[0], x[1] = np.inf, 3e38
    same_bits(graph, {"x": x})


def fields_of(graph: Graph, kind: str, isa: str = "avx2") -> dict[str, int | float]:
    """Of the one instruction of a kind."""
    (found,) = [s for s in lower(graph, isa).steps if isinstance(s, Instruction) and s.kind == kind]
    return dict(found.fields)


def u8(*shape: int) -> TensorType:
    return TensorType(DType.U8, shape, Quant.per_tensor(0.02, 128))


@pytest.mark.parametrize(("size", "rows"), [(8190, 1), (8191, 1), (8192, 2), (8193, 1), (3 * 4096, 3)])
def test_long_runs_are_cut_in_rows_that_threads_share(size: int, rows: int) -> None:
    b = GraphBuilder()
    b.types |= {"x": u8(size), "y": u8(size)}
    fields = fields_of(b.build("long", ["x", "y"], [b.add("Add", ("x", "y"), u8(size), "z")]), "add")
    assert (fields["H"], fields["C"]) == (rows, size // rows)


@pytest.mark.parametrize(("channels", "flat"), [(4, 1), (7, 1), (8, 0), (9, 0)])
def test_few_channels_of_a_depthwise_convolution_are_taken_as_one_row(channels: int, flat: int) -> None:
    """Fewer than the lanes of a vector, which are 8 with AVX2."""
    b = GraphBuilder()
    b.types["x"] = u8(1, channels, 5, 6)
    w = b.add_constant("w", RNG.integers(-9, 9, (channels, 1, 3, 3)).astype(np.int8), TensorType(
        DType.I8, (channels, 1, 3, 3), Quant.per_axis(np.full(channels, 0.1), 0)))  # fmt: skip
    graph = b.build(
        "depthwise", ["x"], [b.add("Conv", ("x", w), u8(1, channels, 5, 6), "y", group=channels, pads=(1, 1, 1, 1))]
    )
    assert fields_of(graph, "depthwise2d")["flat"] == flat


def attention(columns: int) -> Graph:
    """Weights times values, and the heads beside each other again."""
    b = GraphBuilder()
    b.types |= {"a": u8(1, 2, 3, 4), "v": u8(1, 2, 4, columns)}
    made = b.add("MatMul", ("a", "v"), u8(1, 2, 3, columns), "context")
    turned = b.add("Transpose", (made,), u8(1, 3, 2, columns), "turned", perm=(0, 2, 1, 3))
    shape = b.add_constant("shape", np.array([3, 2 * columns], np.int64))
    return b.build("heads", ["a", "v"], [b.add("Reshape", (turned, shape), u8(3, 2 * columns), "y")])


def test_a_product_is_written_as_the_transposition_behind_it_wants() -> None:
    graph = attention(5)
    assert steps(graph) == ["pack", "conv2d"]
    same_bits(
        graph,
        {
            "a": RNG.integers(0, 256, (1, 2, 3, 4)).astype(np.uint8),
            "v": RNG.integers(0, 256, (1, 2, 4, 5)).astype(np.uint8),
        },
    )


def test_equal_small_constants_are_kept_once() -> None:
    """Of two products with the same weights, in int8 and in float; large ones are not looked for."""
    for size, equal in ((16, True), (300, False)):
        w = RNG.normal(0, 1, (size, size)).astype(F32)
        b = GraphBuilder()
        b.types |= {"x": f32(2, size), "z": f32(2, size)}
        made = [b.add("MatMul", (x, b.add_constant(f"w{x}", w)), f32(2, size), f"y{x}") for x in ("x", "z")]
        program = lower(b.build("equal", ["x", "z"], made), "avx2")
        first, second = [
            s.constants["w"] for s in program.steps if isinstance(s, Instruction) and s.kind == "float_conv2d"
        ]
        assert (first == second) == equal


def test_places_whose_last_dimension_is_adjacent() -> None:
    def place(shape: tuple[int, ...], strides: tuple[int, ...]) -> TensorView:
        return TensorView(0, 0, shape, strides, "<f4")

    assert place((2, 3), (12, 4)).has_rows and place((2, 1), (4, 400)).has_rows
    assert (
        not place((2, 3), (4, 8)).has_rows and not place((1, 3), (4, 8)).has_rows and not place((2, 2), (4, 0)).has_rows
    )


def test_how_many_terms_a_sum_in_int32_may_have() -> None:
    assert terms_fit(65793) and 65793 * 255 * 128 < 2**31
    assert not terms_fit(65794) and 65794 * 255 * 128 >= 2**31


def test_views_cost_nothing() -> None:
    """What only looks at a value in another way is no step; the product behind reads the view."""
    b = GraphBuilder()
    b.types["x"] = f32(4, 12)
    one, two = b.fresh("one"), b.fresh("two")
    b.types |= {one: f32(2, 12), two: f32(2, 12)}
    sizes = b.add_constant("sizes", np.array([2, 2], np.int64))
    b.append(Node("Split", ("x", sizes), (one, two), {"axis": 0}, "split"))
    shape = b.add_constant("shape", np.array([3, 4, 2], np.int64))
    w = b.add_constant("w", RNG.normal(0, 1, (2, 5)).astype(F32))
    turned = b.add(
        "Reshape", (b.add("Transpose", (two,), f32(12, 2), "turned", perm=(1, 0)), shape), f32(3, 4, 2), "view"
    )
    graph = b.build("views", ["x"], [b.add("MatMul", (b.add("Identity", (one,), f32(2, 12), "same"), b.add_constant(
        "w2", RNG.normal(0, 1, (12, 5)).astype(F32))), f32(2, 5), "y"),
        b.add("MatMul", (turned, w), f32(3, 4, 5), "z")])  # fmt: skip
    assert steps(graph) == ["float_conv2d", "transpose", "float_conv2d"]  # the turned rows are not adjacent: one copy
    same_bits(graph, {"x": RNG.normal(0, 1, (4, 12)).astype(F32)})


@pytest.mark.parametrize("op", ["Add", "Sigmoid"])
def test_single_elements_have_kernels(op: str) -> None:
    b = GraphBuilder()
    b.types |= {"x": f32(1, 1), "y": f32(1, 1)}
    graph = b.build("one", ["x", "y"], [b.add(op, ("x", "y") if op == "Add" else ("x",), f32(1, 1), "z")])
    assert steps(graph) == ["float_binary" if op == "Add" else "float_unary"]
    same_bits(graph, {"x": np.array([[1.5]], F32), "y": np.array([[-0.25]], F32)})


@pytest.mark.parametrize("given", [(), ("scale",), ("shift",), ("scale", "shift")])
def test_factors_of_an_instance_normalization_that_are_no_constants(given: tuple[str, ...]) -> None:
    """A kernel takes constants alone."""
    b = GraphBuilder()
    b.types |= {"x": f32(2, 3, 4, 5)} | {name: f32(3) for name in given}
    scale, shift = (
        name if name in given else b.add_constant(name, RNG.normal(0, 1, 3).astype(F32)) for name in ("scale", "shift")
    )
    y = b.add("InstanceNormalization", ("x", scale, shift), f32(2, 3, 4, 5), "y", epsilon=0.01)
    graph = b.build("factors", ["x", *given], [y])
    assert ("InstanceNormalization" in steps(graph)) == bool(given)
    same_bits(graph, {i: RNG.normal(0, 1, graph.types[i].static_shape).astype(F32) for i in graph.inputs})


@pytest.mark.parametrize("sizes", [((6,), ()), ((), (6,)), ((6,), (6,)), ((1,), ()), ((0,), ())])
def test_bounds_of_other_sizes_than_one(sizes: tuple[tuple[int, ...], ...]) -> None:
    """A kernel takes one number a bound; what numpy makes of others is the answer, or both refuse."""
    b = GraphBuilder()
    b.types["x"] = f32(5, 6)
    low, high = (b.add_constant("bound", np.linspace(at - 0.4, at + 0.4, int(np.prod(s))).reshape(s).astype(F32))
                 for at, s in zip((-0.5, 0.5), sizes, strict=True))  # fmt: skip
    graph = b.build("bounds", ["x"], [b.add("Clip", ("x", low, high), f32(5, 6), "y")])
    assert ("Clip" in steps(graph)) == any(np.prod(s) != 1 for s in sizes)
    if (0,) not in sizes:
        same_bits(graph, {"x": RNG.normal(0, 1, (5, 6)).astype(F32)})
