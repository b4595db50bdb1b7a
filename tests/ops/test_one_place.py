"""Facts about ops stand in qglow/ops alone: read from the syntax trees of the package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from qglow.ops import OPS
from tools.structure import names_of_ops

PACKAGE = Path(__file__).resolve().parent.parent.parent / "qglow"
FILES = [p for p in sorted(PACKAGE.rglob("*.py")) if p.relative_to(PACKAGE).parts[0] != "ops"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_call_has_a_default_of_an_attribute(path: Path) -> None:
    calls = [
        n
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    ]
    asked = [n for n in calls if getattr(n.func, "attr", "") == "attr"]
    wrong = [n.lineno for n in asked if len(n.args) != 1 or n.keywords]
    assert not wrong, (
        f"{path.relative_to(PACKAGE)}: lines {wrong}: the default of an attribute is in its op's declaration"
    )


def test_attributes_that_are_asked_for_are_declared() -> None:
    """A misspelt name of an attribute would be an error where the op has none of it; here it is one before anything
    runs."""
    declared = {name for row in OPS.values() for name in row.attributes}
    asked = {
        n.args[0].value
        for path in FILES
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call)
        and isinstance(n.func, ast.Attribute)
        and n.func.attr == "attr"
        and isinstance(n.args[0], ast.Constant)
    }
    assert len(asked) > 30 and asked <= declared


def test_the_walk_finds_what_it_should() -> None:
    found = [
        names_of_ops(n)
        for n in ast.walk(ast.parse('x = {"Conv": 1, "Gemm": 2}; y = op in ("Add", "Sub", "other"); z = ("Add",)'))
    ]
    assert [f for f in found if len(f) > 1] == [["Conv", "Gemm"], ["Add", "Sub"]]
