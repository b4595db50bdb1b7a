"""How Selects become If operators: those by one condition share one, unless one needs another's result."""

from __future__ import annotations

from onnx import helper

from qglow.graph.select_op import SELECT
from qglow.onnx_import.export_branches import nested


def select(condition: str, then: str, other: str, out: str) -> object:
    return helper.make_node(SELECT, [condition, then, other], [out])


def ifs(*outputs: str) -> list[list[str]]:
    """The outputs of each If, in order."""
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]), helper.make_node("Abs", ["x"], ["b"]),
        select("c", "a", "b", "y"), select("c", "b", "a", "z"),
        helper.make_node("Exp", ["y"], ["n"]), select("c", "n", "b", "w"), select("c", "a", "x", "v"),
        select("d", "a", "b", "u"),
        select("c", "y", "a", "t"),
    ]  # fmt: skip
    return [list(n.output) for n in nested(nodes, outputs, {}) if n.op_type == "If"]


def test_selects_by_one_condition_share_an_operator() -> None:
    assert ifs("y") == [["y"]]
    assert ifs("y", "z") == [["y", "z"]]
    assert ifs("y", "z", "v") == [["y", "z", "v"]]


def test_another_condition_or_a_need_parts_them() -> None:
    assert ifs("y", "u") == [["y"], ["u"]]
    assert ifs("y", "w") == [["y"], ["w"]]
    assert ifs("y", "z", "w", "v") == [["y", "z"], ["w", "v"]]
    assert ifs("y", "z", "t") == [["y", "z"], ["t"]]
