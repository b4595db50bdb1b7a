"""The pattern matcher and the driver by themselves: what is captured, what is refused, and where a replacement
stands."""

from __future__ import annotations

import time

import numpy as np
import pytest

from qglow.errors import VerifyError
from qglow.graph import Graph, GraphBuilder, Node, float_type
from qglow.graph.pattern import Match, constant, is_scalar, op, value
from qglow.graph.rewrite import Replacement, Rewrite, Rewrites, apply
from qglow.graph.text import parse_graph, print_graph
from qglow.graph.verify import verify
from qglow.simplify import simplify

HEAD = (
    'graph "g"\ninput %x: f32[2,3]\ninput %z: f32[2,3]\nconst %c: f32[] = [2.0]\nconst %v: f32[3] = [1.0, 2.0, 3.0]\n'
)


def graph_of(*lines: str, outputs: str = "y") -> Graph:
    """lines: `y = Add(x, c)`, values of f32[2,3] all."""
    text = HEAD
    for line in lines:
        out, call = line.split(" = ")
        op_name, rest = call.split("(", 1)
        inputs = ", ".join(f"%{i}" for i in rest.partition(")")[0].split(", "))
        text += f'%{out}: f32[2,3] = {op_name}({inputs}){rest.partition(")")[2]} "n_{out}"\n'
    return verify(parse_graph(text + "".join(f"output %{o}\n" for o in outputs.split())))


def relu(m: Match) -> Replacement:
    return Node("Relu", (m["x"],), m.root.outputs, {}, m.root.name)


def ops(graph: Graph, *rewrites: Rewrite) -> list[str]:
    made = verify(apply(graph, rewrites))
    return [n.op for n in made.nodes]


NEGATED_TWICE = Rewrite("twice", op("Neg", op("Neg", value("x"))), lambda m: m["x"])


def test_what_is_captured() -> None:
    seen: list[Match] = []
    pattern = op("Mul", op("Add", value("x"), constant("c"), name="sum"), value("z"))
    graph = graph_of("a = Add(c, x)", "y = Mul(z, a)")
    assert apply(graph, [Rewrite("look", pattern, lambda m: seen.append(m))]) is graph
    (match,) = seen
    assert match.values == {"x": "x", "c": "c", "z": "z"} and match.node("sum").name == "n_a"
    assert (
        match.constant("c") == 2 and match.rank("x") == 2 and match.keeps_shape("x", "c") and match.root.name == ("n_y")
    )
    assert [n.name for n in match.nodes] == ["n_y", "n_a"]


@pytest.mark.parametrize(("operands", "fires"), [("x, x", True), ("x, z", False)])
def test_one_name_is_one_value(operands: str, fires: bool) -> None:
    square = Rewrite("square", op("Mul", value("x"), value("x")), relu)
    assert ops(graph_of(f"y = Mul({operands})"), square) == ["Relu" if fires else "Mul"]


@pytest.mark.parametrize(("line", "commutes", "fires"), [
    ("y = Add(c, x)", False, True), ("y = Add(x, c)", False, True), ("y = Sub(x, c)", False, True),
    ("y = Sub(c, x)", False, False),
    ("y = Div(c, x)", False, False), ("y = Div(c, x)", True, True), ("y = Max(c, x)", False, True),
    ("y = Add(x, z)", False, False),
    ("y = Add(x, v)", False, False),
])  # fmt: skip
def test_order_and_constants(line: str, commutes: bool, fires: bool) -> None:
    pattern = op(
        lambda d: d.name in ("Add", "Sub", "Div", "Max"),
        value("x"),
        constant("c", is_scalar),
        commutes=commutes or None,
    )
    found = ops(graph_of(line), Rewrite("r", pattern, relu))
    assert (found == ["Relu"]) == fires


@pytest.mark.parametrize(("lines", "outputs", "fires"), [
    (("a = Neg(x)", "y = Neg(a)"), "y", True),
    (("a = Neg(x)", "y = Neg(a)", "b = Relu(a)"), "y b", False),
    (("a = Neg(x)", "y = Neg(a)"), "y a", False),
    (("a = Neg(x)", "y = Neg(a)", "b = Add(a, a)"), "y b", False),
])  # fmt: skip
def test_inner_values_are_read_once(lines: tuple[str, ...], outputs: str, fires: bool) -> None:
    pattern = op("Neg", op("Neg", value("x")))
    made = apply(graph_of(*lines, outputs=outputs), [Rewrite("r", pattern, relu)])
    assert (made.producers()["y"].op == "Relu") == fires


def test_a_shared_inner_node_stays_as_long_as_it_is_read() -> None:
    shared = Rewrite("r", op("Neg", op("Neg", value("x"), shared=True)), relu)
    assert ops(graph_of("a = Neg(x)", "y = Neg(a)", "b = Exp(a)", outputs="y b"), shared) == ["Neg", "Relu", "Exp"]
    assert ops(graph_of("a = Neg(x)", "y = Neg(a)"), shared) == ["Relu"]
    assert ops(graph_of("a = Neg(x)", "y = Neg(a)", outputs="y a"), shared) == ["Neg", "Relu"]


def test_attributes_and_conditions() -> None:
    leaky = 'y = LeakyRelu(x) {"alpha": 0.5}'
    for wanted, fires in ((0.5, True), (0.25, False), (lambda v: v < 1, True)):
        assert ops(graph_of(leaky), Rewrite("r", op("LeakyRelu", value("x"), attributes={"alpha": wanted}), relu)) == [
            "Relu" if fires else "LeakyRelu"]  # fmt: skip
    default = Rewrite("r", op("LeakyRelu", value("x"), attributes={"alpha": 0.01}), relu)
    assert ops(graph_of("y = LeakyRelu(x)"), default) == ["Relu"]
    refused = Rewrite("r", op("Neg", value("x"), where=lambda m: m["x"] != "x"), relu)
    assert ops(graph_of("a = Neg(x)", "y = Neg(a)"), refused) == ["Neg", "Relu"]


def test_operands_that_are_not_there() -> None:
    clip = graph_of("a = Clip(x, c)", "y = Clip(a, c, c)")
    missing = Rewrite("r", op("Clip", value("x"), constant("low"), constant("high", optional=True)),
                      lambda m: None if m["high"] else relu(m))  # fmt: skip
    assert ops(clip, missing) == ["Relu", "Clip"]
    needed = Rewrite("r", op("Clip", value("x"), constant("low"), constant("high")), relu)
    assert ops(clip, needed) == ["Clip", "Relu"]


def test_until_none_fires() -> None:
    """Nine negations of a value are one: each pair that goes makes the next."""
    names = ["x", *(f"a{k}" for k in range(8)), "y"]
    lines = [f"{b} = Neg({a})" for a, b in zip(names, names[1:], strict=False)]
    told: list[tuple[str, int]] = []
    made = verify(apply(graph_of(*lines), [NEGATED_TWICE], lambda name, count: told.append((name, count))))
    assert print_graph(made).splitlines()[-2] == '%y: f32[2,3] = Neg(%x) "n_y"' and told == [("twice", 4)]
    pairs = graph_of(*lines[:-1], f"y = Exp({names[-2]})")
    assert ops(pairs, NEGATED_TWICE) == ["Exp"]


def test_a_later_rewrite_may_make_an_earlier_one_fit() -> None:
    made = Rewrite("abs", op("Abs", value("x")), lambda m: Node("Neg", (m["x"],), m.root.outputs, {}, m.root.name))
    assert ops(graph_of("a = Neg(x)", "b = Abs(a)", "y = Exp(b)"), NEGATED_TWICE, made) == ["Exp"]
    assert ops(graph_of("a = Abs(x)", "b = Abs(a)", "y = Exp(b)"), NEGATED_TWICE, made) == ["Exp"]


def test_an_output_of_the_graph_keeps_its_name() -> None:
    graph = verify(apply(graph_of("a = Neg(x)", "y = Neg(a)", "b = Exp(y)", outputs="y b"), [NEGATED_TWICE]))
    assert [(n.op, n.inputs, n.outputs) for n in graph.nodes] == [("Identity", ("x",), ("y",)), ("Exp", ("y",), ("b",))]
    identity = Rewrite("identity", op("Identity", value("x")), lambda m: m["x"])
    assert [n.op for n in apply(graph, [identity]).nodes] == ["Identity", "Exp"]


def test_rewrites_that_undo_each_other_are_refused() -> None:
    there = Rewrite("there", op("Abs", value("x")), lambda m: m.root.with_(op="Neg"))
    back = Rewrite("back", op("Neg", value("x")), lambda m: m.root.with_(op="Abs"))
    with pytest.raises(VerifyError, match=r"do not end: of 1 nodes there fired 1\d\d times, back fired 1\d\d times"):
        apply(graph_of("y = Abs(x)"), [there, back])
    grows = Rewrite("grows", op("Neg", value("x")), doubled)
    with pytest.raises(VerifyError, match="do not end"):
        apply(graph_of("y = Neg(x)"), [grows])


def doubled(m: Match) -> Replacement:
    inner = m.add_value(f"{m.root.outputs[0]}.inner", m.type("x"))
    return (Node("Neg", (m["x"],), (inner,), {}, f"{m.root.name}.inner"), m.root.with_(inputs=(inner,)))


def test_several_nodes_in_place_of_one() -> None:
    def as_two(m: Match) -> Replacement:
        factor = m.add_constant(f"{m.root.name}.factor", np.array(-1, np.float32))
        half = m.add_value(f"{m.root.name}.half", m.type("x"))
        return (
            Node("Mul", (m["x"], factor), (half,), {}, f"{m.root.name}.mul"),
            Node("Relu", (half,), m.root.outputs, {}, m.root.name),
        )

    made = verify(
        apply(graph_of("a = Exp(x)", "b = Abs(a)", "y = Exp(b)"), [Rewrite("two", op("Abs", value("x")), as_two)])
    )
    assert [n.op for n in made.nodes] == ["Exp", "Mul", "Relu", "Exp"]


def test_where_a_replacement_stands() -> None:
    """With `at` it stands where the captured node did, and only where all that it reads is there by then."""
    pattern = op("Add", op("Neg", value("x"), name="first"), value("other"))
    early = Rewrite(
        "early", pattern, lambda m: Node("Sub", (m["other"], m["x"]), m.root.outputs, {}, m.root.name), at="first"
    )
    late = early._replace(at="")
    before = graph_of("b = Exp(z)", "a = Neg(x)", "c1 = Abs(x)", "s = Add(a, b)", "y = Mul(s, c1)")
    assert ops(before, early) == ["Exp", "Sub", "Abs", "Mul"] and ops(before, late) == ["Exp", "Abs", "Sub", "Mul"]
    behind = graph_of("a = Neg(x)", "b = Exp(z)", "y = Add(a, b)")
    assert ops(behind, early) == ["Neg", "Exp", "Add"] and ops(behind, late) == ["Exp", "Sub"]


def test_a_replacement_must_write_what_the_root_wrote() -> None:
    wrong = Rewrite("wrong", op("Neg", value("x")), lambda m: Node("Relu", (m["x"],), ("other",), {}, "n"))
    with pytest.raises(VerifyError, match="rewrite wrong: expected nodes that write 'y' at last, got 'other'"):
        apply(graph_of("y = Neg(x)"), [wrong])


def test_a_replacement_that_would_close_a_cycle_is_refused() -> None:
    cyclic = Rewrite(
        "cyclic", op("Neg", value("x")), lambda m: Node("Add", (m["x"], "b"), m.root.outputs, {}, m.root.name)
    )
    with pytest.raises(VerifyError, match="rewrite cyclic: expected inputs that are written before 'n_a', got 'b'"):
        apply(graph_of("a = Neg(x)", "b = Exp(a)", "y = Abs(b)"), [cyclic])
    itself = Rewrite("itself", op("Neg", value("x")), lambda m: m.root.with_(inputs=m.root.outputs))
    with pytest.raises(VerifyError, match="rewrite itself"):
        apply(graph_of("a = Neg(x)", "y = Abs(a)"), [itself])


def test_what_a_list_makes_is_verified_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    untyped = Rewrite("untyped", op("Neg", value("x")), lambda m: m.root.with_(op="Conv"))
    monkeypatch.setenv("QGLOW_VERIFY", "1")
    apply(graph_of("y = Neg(x)"), [untyped])
    monkeypatch.setenv("QGLOW_VERIFY", "2")
    with pytest.raises(VerifyError, match="Conv"):
        apply(graph_of("y = Neg(x)"), [untyped])


def test_two_rewrites_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two have one name"):
        Rewrites("twice", NEGATED_TWICE, NEGATED_TWICE)


def test_time_is_linear_in_the_graph() -> None:
    """Sixteen times the nodes take about sixteen times as long: far from the square of it."""

    def seconds(count: int) -> float:
        b = GraphBuilder()
        b.types["x"] = float_type(2, 3)
        last = b.fresh("x")
        for _ in range(count):
            last = b.add("Neg", (last,), float_type(2, 3), "v")
        graph = b.build("g", ["x"], [b.add("Exp", (last,), float_type(2, 3), "y")])
        start = time.process_time()
        assert len(apply(graph, [NEGATED_TWICE]).nodes) == 1
        return time.process_time() - start

    small = min(seconds(250) for _ in range(3))
    assert min(seconds(4000) for _ in range(2)) < 60 * small


def test_the_log_says_which_fired() -> None:
    told: list[str] = []
    text = print_graph(graph_of("a = Exp(x)", "m = Mul(a, c)", "k = Max(a, m)", "y = Relu(k)"))
    simplify(parse_graph(text), log=told.append)
    assert told == []
    simplify(parse_graph(text.replace("[2.0]", "[0.25]")), log=told.append)
    assert told == ["fuse_leaky_relu: leaky_relu x 1"]
