"""What is fused into a product and what is not: each rewrite with a form that it takes and the forms beside it that it
does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from program_graphs import COMMON, Net, feeds_of
from three_engines import meaning_agrees, static

from qglow.errors import VerifyError
from qglow.graph import DType, Graph, Quant
from qglow.graph.epilogue import fused, is_fused
from qglow.graph.text import parse_graph, print_graph
from qglow.graph.verify import verify
from qglow.instructions.fuse import fuse
from qglow.instructions.lower import lower, lower_observed
from qglow.instructions.program import HostCall
from qglow.reference import evaluate
from qglow.reference.float_product import LONGEST

TINY, HUGE = Quant.per_tensor(1e-9, 100), Quant.per_tensor(1e3, 100)


def epilogues(graph: Graph) -> list[list[str]]:
    """The ops of each epilogue, in order."""
    return [[part[0] for part in n.attributes["epilogue"]] for n in graph.nodes if is_fused(n)]


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


def checked(graph: Graph, isa: str = "avx2") -> Graph:
    """The fused graph: sound, the same when its text is parsed, typed and evaluated; and its program means the same."""
    feeds = feeds_of(graph, np.random.default_rng(1))
    made = verify(fuse(static(graph, feeds), isa), fused=True)
    text = print_graph(made)
    assert print_graph(static(parse_graph(text, made.constants), feeds)) == text
    want = evaluate(graph, feeds)
    for name, array in evaluate(made, feeds).items():
        assert np.array_equal(array, want[name], equal_nan=array.dtype.kind == "f"), name
    meaning_agrees(graph, feeds, isa)
    return made


def image(net: Net, channels: int = 4) -> str:
    return net.table(net.input(1, channels, 5, 6))


def conv_sum(net: Net, op: str = "Add", first: bool = True) -> str:
    x, r = image(net), image(net)
    c = net.conv(x, 4, (1, 1))
    return net.op(op, (c, r) if first else (r, c))


def rows(net: Net) -> tuple[str, str]:
    x = net.table(net.input(2, 3, 8))
    return x, net.op("MatMul", (x, net.weights((8, 8), 1)))


def float_image(net: Net) -> str:
    return net.op("Exp", (net.input(1, 4, 5, 6, quant=None, dtype=DType.F32),), None)


def float_rows(net: Net, *shape: int) -> str:
    return net.input(*shape, quant=None, dtype=DType.F32)


def float_matmul(net: Net, width: int) -> str:
    return net.op("MatMul", (float_rows(net, 2, width), net.floats(width, 5)), None)


def transposed(net: Net, x: str) -> str:
    return net.op("Transpose", (x,), perm=(0, 1, 2))


def clip(net: Net, x: str, low: float | None, high: float | None) -> str:
    bounds = [net.constant("b", np.float32(v)) if v is not None else "" for v in (low, high)]
    return net.op("Clip", (x, *bounds), None)


FUSED: dict[str, tuple[Callable[[Net], str], list[str]]] = {
    "sum": (conv_sum, ["Add"]),
    "sum, residual first": (lambda n: conv_sum(n, first=False), ["Add"]),
    "difference": (lambda n: conv_sum(n, "Sub"), ["Sub"]),
    "difference from the residual": (lambda n: conv_sum(n, "Sub", False), ["Sub"]),
    "sum of two products": (lambda n: n.op("Add", (n.conv(x := image(n), 4, (1, 1)),
    n.conv(x, 4, (3, 3), pads=(1, 1, 1, 1)))), ["Add"]),
    "sum of rows": (lambda n: n.op("Add", rows(n)), ["Add"]),
    "residual that is a transposition": (
        lambda n: n.op("Add", (transposed(n, x := n.table(n.input(2, 3, 8))),
        n.op("MatMul", (x, n.weights((8, 8), 1))))),
        ["Add"]),
    "residual that is dense": (lambda n: n.op("Add", (r := n.input(1, 4, 5, 6), n.conv(r, 4, (1, 1)))), ["Add"]),
    "residual that is a constant": (
        lambda n: n.op("Add", (n.conv(image(n), 4, (1, 1)), n.constant("k",
        np.arange(120, dtype=np.uint8).reshape(1, 4, 5, 6), COMMON))),
        ["Add"]),
    "sum of lines": (lambda n: n.op("Add", (r := n.table(n.input(1, 4, 7)), n.conv(r, 4, (1,)))), ["Add"]),
    "table": (lambda n: n.table(n.conv(image(n), 4, (3, 3))), ["Lookup"]),
    "table of one channel in, one out": (lambda n: n.table(n.conv(image(n), 4, (3, 3), group=4)), ["Lookup"]),
    "table of rows": (lambda n: n.table(rows(n)[1]), ["Lookup"]),
    "tables by channel": (lambda n: n.table(n.conv(image(n), 20, (1, 1)), 20), ["Lookup"]),
    "float sum": (lambda n: n.op("Add", (r := float_image(n), n.float_conv(r, 4, (1, 1))), None), ["Add"]),
    "float sum and bounds": (
        lambda n: n.op("Relu", (n.op("Add", (n.float_conv(r := float_image(n), 4, (1, 1)), r), None),), None),
        ["Add", "Relu"]),
    "relu": (lambda n: n.op("Relu", (n.float_conv(float_image(n), 4, (3, 3)),), None), ["Relu"]),
    "clip": (lambda n: clip(n, n.float_conv(float_image(n), 4, (3, 3)), -1, 2), ["Clip"]),
    "lower bound": (lambda n: clip(n, n.float_conv(float_image(n), 4, (3, 3)), 0.5, None), ["Clip"]),
    "relu one channel in, one out": (lambda n: n.op("Relu", (n.float_conv(float_image(n), 4, (3, 3), group=4),), None),
    ["Relu"]),
    "relu of rows": (lambda n: n.op("Relu", (float_matmul(n, 8),), None), ["Relu"]),
    "relu of several chains": (
        lambda n: n.op("Relu", (float_matmul(n, LONGEST + 1),), None),
        ["Relu"]),
    "relu of weights in blocks": (
        lambda n: n.op("Relu", (n.blockwise(float_rows(n, 2, 64), 8, 32, 4, compute="float32"),), None), ["Relu"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FUSED)
def test_fused(name: str) -> None:
    net = Net()
    build, want = FUSED[name]
    graph = net.graph(build(net))
    made = checked(graph)
    assert epilogues(made) == [want]
    assert not any(isinstance(s, HostCall) for s in lower(graph, "avx2").steps)


def read_twice(net: Net) -> str:
    c = net.conv(image(net), 4, (1, 1))
    return net.op("Add", (net.table(c), c))


def residual_behind(net: Net) -> str:
    x = image(net)
    c = net.conv(x, 4, (1, 1))
    return net.op("Add", (c, net.op("MaxPool", (x,), kernel_shape=(1, 1))))


APART: dict[str, Callable[[Net], str]] = {
    "value read twice": read_twice,
    "sum with itself": lambda n: n.op("Add", (c := n.conv(image(n), 4, (1, 1)), c)),
    "residual that comes behind the product": residual_behind,
    "residual that is repeated": lambda n: n.op("Add", (n.conv(image(n), 4, (1, 1)), n.table(n.input(1, 4, 1, 1)))),
    "product that is repeated": lambda n: n.op("Add", (image(n), n.conv(n.table(n.input(1, 4, 1, 1)), 4, (1, 1)))),
    "scales far apart": lambda n: n.op("Add", (image(n), n.conv(image(n), 4, (1, 1), quant=HUGE)), TINY),
    "float result": lambda n: n.op("Relu", (n.op("Dequantize", (n.conv(image(n), 4, (1, 1)),), None),), None),
    "product of signs": lambda n: n.op("Mul", (image(n), n.conv(image(n), 4, (1, 1)))),
    "transposed convolution": lambda n: n.table(n.conv_transpose(image(n), 4, (2, 2))),
    "product of two tensors": lambda n: n.table(n.op("MatMul",
    (x := n.table(n.input(2, 4, 4), quant=Quant.per_tensor(0.02, 128)), x))),
    "tables by channel of rows": lambda n: n.table(n.op("MatMul", (n.table(n.input(2, 3, 8)), n.weights((8, 8), 1))),
    3),
    "float residual that is a constant": lambda n: n.op("Add",
    (n.float_conv(float_image(n), 4, (1, 1)), n.floats(1, 4, 5, 6)), None),
    "float residual that is repeated": lambda n: n.op(
        "Add", (float_rows(n, 1, 4, 1, 1), n.float_conv(float_image(n), 4, (1, 1))), None),
    "float sum one channel in, one out": lambda n: n.op("Add",
    (r := float_image(n), n.float_conv(r, 4, (1, 1), group=4)), None),
    "float sum of several chains": lambda n: n.op("Add", (float_rows(n, 2, 5), float_matmul(n, LONGEST + 1)), None),
    "no lower bound": lambda n: clip(n, n.float_conv(float_image(n), 4, (1, 1)), None, 2),
    "bound that is infinite": lambda n: clip(n, n.float_conv(float_image(n), 4, (1, 1)), 0, np.inf),
    "bounds that are computed": lambda n: n.op("Clip", (n.float_conv(float_image(n), 4, (1, 1)), float_rows(n)), None),
    "bounds of two float tensors' product": lambda n: n.op(
        "Relu", (n.op("MatMul", (x := float_rows(n, 4, 4), x), None),), None),
    "bounds of int8 weights in blocks": lambda n: n.op("Relu", (n.blockwise(float_rows(n, 2, 64), 8, 32, 4),), None),
}  # fmt: skip


@pytest.mark.parametrize("name", APART)
def test_not_fused(name: str) -> None:
    net = Net()
    made = checked(net.graph(APART[name](net)))
    assert epilogues(made) == []


def test_what_is_an_output_or_looked_at_is_not_fused() -> None:
    net = Net()
    x = image(net)
    c = net.conv(x, 4, (1, 1))
    y = net.op("Add", (c, x))
    assert epilogues(checked(net.graph(y))) == [["Add"]] and epilogues(checked(net.graph(y, c))) == []
    feeds = net.feeds()
    program = lower_observed(static(net.graph(y), feeds), "avx2", [c, y])
    assert {c, y} <= {n for names in program.moments.values() for n in names} and epilogues(program.graph) == []


def test_one_op_behind_bytes_and_bounds_behind_a_sum() -> None:
    """What comes behind stays a node of its own."""
    net = Net()
    r = image(net)
    c = net.table(net.conv(r, 4, (1, 1)))
    assert epilogues(checked(net.graph(net.op("Add", (c, r))))) == [["Lookup"]]
    net = Net()
    r = float_image(net)
    bounded = net.op("Relu", (net.float_conv(r, 4, (1, 1)),), None)
    made = checked(net.graph(net.op("Add", (bounded, r), None)))
    assert epilogues(made) == [["Relu"]] and ops(made)[-1] == "Add"


def test_tables_by_channel_where_many_pixels_are_looked_up_at_a_time() -> None:
    for channels, isa, want in (
        (20, "avx512_vbmi", []),
        (8, "avx512_vbmi", [["Lookup"]]),
        (20, "avx512_vnni", [["Lookup"]]),
    ):
        net = Net()
        graph = net.graph(net.table(net.conv(image(net), channels, (1, 1)), channels))
        assert epilogues(checked(graph, isa)) == want


@pytest.mark.parametrize("first", [True, False])
def test_swish(first: bool) -> None:
    net = Net()
    x = float_image(net)
    s = net.op("Sigmoid", (x,), None)
    y = net.op("Mul", (x, s) if first else (s, x), None)
    assert ops(checked(net.graph(y))) == ["Exp", "Swish"]
    assert "Swish" not in ops(checked(net.graph(y, s)))
    z = net.op("Mul", (net.op("Neg", (x,), None), s), None)
    assert "Swish" not in ops(checked(net.graph(y, z))) and "Swish" not in ops(checked(net.graph(z)))


def test_a_fused_form_without_a_kernel_runs_on_the_host() -> None:
    """Rewrites make none; a graph that is written so gives its parts' bits all the same."""
    net = Net()
    y = net.table(net.conv_transpose(image(net), 4, (2, 2)))
    graph = net.graph(y)
    product, table = graph.nodes[-2:]
    joined = fused(product, table, graph.types[product.outputs[0]])
    made = verify(graph.with_(nodes=(*graph.nodes[:-2], joined)), fused=True)
    assert any(isinstance(s, HostCall) and s.node.name == joined.name for s in lower(made, "avx2").steps)
    feeds = feeds_of(graph, np.random.default_rng(0))
    assert np.array_equal(evaluate(made, feeds)[y], evaluate(graph, feeds)[y])
    meaning_agrees(made, feeds, "avx2")


def fused_text() -> str:
    """A convolution with a sum, whose value between has a scale of 0.5."""
    net = Net()
    graph = net.graph(conv_sum(net))
    scale = repr(float(COMMON.s))
    return (
        print_graph(fuse(static(graph, net.feeds()), "avx2"))
        .replace(f'"u8", {scale}', '"u8", 0.5')
        .replace("%add", "%y")
    )


@pytest.mark.parametrize(("old", "new", "said"), [
    ('["Add", 0, "u8", 0.5, 100, []]', '["Add", 0, "u8", -0.5, 100, []]', "scales that are positive"),
    ('["Add", 0, "u8", 0.5, 100, []]', '["Add", 0, "u8", 0.5, 300, []]', r"zero points in \[0, 255\]"),
    ('["Add", 0, "u8", 0.5, 100, []]', '["Add", 0, "f32", 0.0, 0, []]', "two quantized values|per tensor"),
    ('["Add", 0, "u8", 0.5, 100, []]', '["Add", 0, "u3", 0.02, 100, []]', "u3"),
    ('["Add", 0, "u8", 0.5, 100, []]', '["Add", 2, "u8", 0.5, 100, []]', "with an operand 2, got 'Add'"),
    ('["Add", 0, "u8", 0.5, 100, []]', '["Concat", 0, "u8", 0.5, 100, []]', "got 'Concat'"),
    ('["Add", 0, "u8", 0.5, 100, []]', '["Ad", 0, "u8", 0.5, 100, []]', "got 'Ad'"),
    ('["Add", 0, "u8", 0.5, 100, []]', '["Relu", 0, "u8", 0.5, 100, []]', "expected 3 inputs, got 4"),
    ('["Add", 0, "u8", 0.5, 100, []]', '["Add", 0, "u8", 0.5, 100, [["alpha", 1.0]]]', "no attribute 'alpha'"),
    ('[["Add", 0, "u8", 0.5, 100, []]]', "[]", "epilogue as a list of ops"),
    ('["Add", 0, "u8", 0.5, 100, []]', '["Add", 0]', "epilogue as a list of ops"),
    ("%b, %lookup.1)", "%b)", "inputs, got|expected input 1"),
])  # fmt: skip
def test_epilogues_that_mean_nothing_are_refused(old: str, new: str, said: str) -> None:
    text = fused_text()
    assert old in text, text
    with pytest.raises(VerifyError, match=said):
        verify(parse_graph(text.replace(old, new), tables()), fused=True)


def tables() -> dict[str, np.ndarray]:
    """The constants of `fused_text` that it does not hold."""
    net = Net()
    conv_sum(net)
    return dict(net.b.constants)


def test_files_hold_no_epilogue() -> None:
    text = fused_text()
    with pytest.raises(VerifyError, match="expected no epilogue, which code generation alone writes"):
        verify(parse_graph(text, tables()))
