"""Facts about ops stand in qglow/ops alone: read from the syntax trees of the package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from qglow.ops import OPS

PACKAGE = Path(__file__).resolve().parent.parent.parent / "qglow"
FILES = [p for p in sorted(PACKAGE.rglob("*.py")) if p.relative_to(PACKAGE).parts[0] != "ops"]
EXCEPTIONS = {
    "instructions/table.py": "functions of an instruction, by the number that its field has: part of the text form and of compiled kernels",
    "kernels/floats.py": "the kernel expression of each of these functions",
    "reference/float_functions.py": "activations of recurrent layers, which an attribute names",
    "reference/recurrent_float.py": "activations of recurrent layers, and the three cells whose meaning the file is",
    "reference/recurrent_layer.py": "the gates of the three cells",
    "onnx_import/contrib/expand.py": "operators of onnxruntime's own domain, as files have them",
    "onnx_import/contrib/products.py": "activations that onnxruntime fuses, by the name in an attribute, with their parameters",
    "onnx_import/aligned.py": "operators of opsets before 7, as files have them",
    "onnx_import/element_types.py": "operators of files that widen narrow dtypes, with and without a declaration",
    "onnx_import/forms.py": "attributes of older opsets, as files have them",
}


def names_of_ops(node: ast.AST) -> list[str]:
    """The names of ops among the elements of a tuple, list or set, or the keys of a dict."""
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        elements = node.elts
    elif isinstance(node, ast.Dict):
        elements = [k for k in node.keys if k is not None]
    else:
        return []
    return [e.value for e in elements if isinstance(e, ast.Constant) and isinstance(e.value, str) and e.value in OPS]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_list_of_ops_stands_outside_of_declarations(path: Path) -> None:
    """A pass asks a node for a trait; an op that is added is in no list that somebody forgets."""
    where = path.relative_to(PACKAGE).as_posix()
    found = [(n.lineno, names) for n in ast.walk(ast.parse(path.read_text())) if len(names := names_of_ops(n)) > 1]
    assert bool(found) == (where in EXCEPTIONS), f"{where}: {found}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_call_has_a_default_of_an_attribute(path: Path) -> None:
    calls = [
        n
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    ]
    wrong = [n.lineno for n in calls if n.func.attr == "attr" and (len(n.args) != 1 or n.keywords)]  # type: ignore[attr-defined]
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
