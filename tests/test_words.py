"""What users read: nouns that follow their count, and none of the turns of phrase that were taken out once.

Every string of the package is read, but for docstrings; so are the report's page and the README. Counts are looked at
where commands, reports and data speak; errors of a graph's structure give numbers as they are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qglow.words import counted

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "qglow"
FILES = sorted(PACKAGE.rglob("*.py"))
COUNTING = ("commands", "oracle", "profiling", "quantization", "report", "runtime")
NOUNS = re.compile(
    r"^ (?:more |labelled |unknown |float |int16 )?(bytes|channels|classes|columns|constants|decibels|dimensions|"
    r"elements|files|inputs|labels|layers|nodes|numbers|operations|outputs|pictures|points|rows|runs|samples|seconds|"
    r"steps|tensors|threads|times|trials|values)\b(?! smaller| larger| as)"
)
NEGATIONS = r"\b(no|not|never|nothing|nobody|neither)\b"
GONE = re.compile(
    r"\b1 (samples|nodes|layers|outputs|inputs|files|runs|points|times)\b"
    r"|0\.\d+ times|takes \S+ of it|no meaning is known|\bsurely\b|beside you|-\d\S* points? lost"
    rf"|\bnot un(?!pack)\w+|(?<!-){NEGATIONS}(?! smaller| Mat)[^.,;:()]{{0,24}}{NEGATIONS}",
    re.IGNORECASE,
)


def strings(tree: ast.Module) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Strings that are no docstrings, whole."""
    inner = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in ast.walk(n) if v is not n}
    docs = {
        id(n.body[0].value)
        for n in ast.walk(tree)
        if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef)) and n.body and isinstance(n.body[0], ast.Expr)
    }
    for n in ast.walk(tree):
        is_string = isinstance(n, ast.JoinedStr) or (isinstance(n, ast.Constant) and isinstance(n.value, str))
        if is_string and id(n) not in inner and id(n) not in docs:
            assert isinstance(n, (ast.Constant, ast.JoinedStr))
            yield n


def text_of(node: ast.Constant | ast.JoinedStr) -> str:
    """With `0` in place of what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)


def uncounted(node: ast.Constant | ast.JoinedStr) -> Iterator[str]:
    """Numbers in whole before a plural, which stands there for 1 too."""
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    for value, after in zip(parts, parts[1:], strict=False):
        if isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant):
            said = NOUNS.match(str(after.value))
            spec = "" if value.format_spec is None else ast.unparse(value.format_spec)
            if said and not re.search(r"\.\d+[fe%]", spec):
                yield f"{{{ast.unparse(value.value)}}}{said.group()}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_words(path: Path) -> None:
    inner = path.relative_to(PACKAGE).parts
    for node in strings(ast.parse(path.read_text())):
        said = list(uncounted(node)) if len(inner) == 1 or inner[0] in COUNTING else []
        assert not said, f"{path.relative_to(ROOT)}:{node.lineno}: qglow.words.counted says 1 of them"
        gone = GONE.search(text_of(node))
        assert gone is None, f"{path.relative_to(ROOT)}:{node.lineno}: {gone.group()!r}"


@pytest.mark.parametrize("name", ["README.md", "qglow/report/page.html.j2", "qglow/report/page.js"])
def test_pages(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not (found := GONE.search(text)), found
    assert not re.findall(r"\}\} (?:samples|layers|nodes|runs)\b", text)


def test_what_the_lint_sees() -> None:
    tree = ast.parse(
        '"""Doc."""\nf"{n} samples"\nf"{x:.1f} points"\nf"{counted(n, \'sample\')}"\n"not unlike 1 samples"'
    )
    found = [list(uncounted(s)) for s in strings(tree)]
    assert found == [["{n} samples"], [], [], []] and counted(1, "sample") == "1 sample"
    assert [bool(GONE.search(text_of(s))) for s in strings(tree)] == [False, False, False, True]
    assert all(GONE.search(s) for s in ("0.8 times smaller", "qglow takes 0.57 of it", "no output is not there"))
