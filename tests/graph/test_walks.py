"""Walks of graphs with branches: what is computed, when values are let go, and what every input needs."""

from __future__ import annotations

import pytest

from qglow.graph import Graph, Node
from qglow.graph.select_op import SELECT, Uses, certain, conditions, walk
from qglow.graph.text import parse_graph

# the sides share %h; %e alone is needed by the inner side; %k by one side and an output
TEXT = """graph "walks"
input %x: f32[2]
input %c: bool[]
input %d: bool[]
%dead: f32[2] = Neg(%x) "dead"
%h: f32[2] = Relu(%x) "h"
%a: f32[2] = Neg(%h) "a"
%e: f32[2] = Exp(%x) "e"
%k: f32[2] = Abs(%x) "k"
%i: f32[2] = Select(%d, %e, %k) "inner"
%b: f32[2] = Add(%h, %i) "b"
%y: f32[2] = Select(%c, %a, %b) "outer"
output %y
output %k
"""


def visited(graph: Graph, c: bool, d: bool) -> list[str]:
    seen: list[str] = []
    values = {"c": c, "d": d}

    def sides(node: Node) -> tuple[str, ...]:
        return (node.inputs[1 if values[node.inputs[0]] else 2],)

    walk(graph.outputs, graph.producers(), lambda n: seen.append(n.name), sides)
    return seen


BOTH = {"outer", "h", "k"}
WAYS = [(True, True, {"a"}), (True, False, {"a"}), (False, True, {"b", "inner", "e"}), (False, False, {"b", "inner"})]


@pytest.mark.parametrize(("c", "d", "more"), WAYS)
def test_nothing_but_what_is_needed_is_visited_once_and_in_order(c: bool, d: bool, more: set[str]) -> None:
    graph = parse_graph(TEXT)
    seen = visited(graph, c, d)
    assert set(seen) == BOTH | more and len(seen) == len(set(seen))
    nodes, made = {n.name: n for n in graph.nodes}, set(graph.inputs)
    for node in (nodes[name] for name in seen):
        taken = (node.inputs[1 if {"c": c, "d": d}[node.inputs[0]] else 2],) if node.op == SELECT else node.inputs
        assert set(taken) <= made
        made |= set(node.outputs)


def test_values_that_only_the_other_side_reads_are_let_go() -> None:
    graph = parse_graph(TEXT.replace('%dead: f32[2] = Neg(%x) "dead"\n', ""))
    uses = Uses(graph)
    nodes = {n.name: n for n in graph.nodes}
    gone = [set(uses.after(nodes[name])) for name in ("h", "a", "outer", "k")]
    assert gone[:2] == [set(), set()]
    assert gone[2] == {"c", "d", "h", "a"}  # of the side that was not taken too: %d, and %h, which %b would have read
    assert gone[3] == {"x"}


def test_what_every_input_needs() -> None:
    graph = parse_graph(TEXT)
    assert certain(graph) == {"x", "c", "d", "h", "k", "y"}
    assert conditions(graph) == ["d", "c"]
