"""A coverage as text for a terminal of 80 columns: a row for each operator, the sums, then what is not int8 and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import wrap

from .coverage import EXECUTIONS, Coverage, Execution, percent, shown_executions

WIDTH, OP, SHOWN = 80, 22, 3  # columns in all and of an operator; names of nodes to a reason


def coverage_text(coverage: Coverage, why: bool = True) -> str:
    """Lines of at most WIDTH columns. why: with the reasons."""
    return "\n".join([*_table(coverage), *(_why(coverage) if why else ()), *_notes(coverage), ""])


def _table(coverage: Coverage) -> Iterator[str]:
    nodes, products = coverage.nodes(), coverage.multiply_adds()
    ways = shown_executions(coverage)
    yield _row("op", "nodes", ways, "share")
    total = products.total()
    for r in coverage.rows:
        products_of = r.multiply_adds.total()
        yield _row(r.op, str(r.nodes.total()), _numbers(r.nodes, ways), percent(products_of, products_of and total))
    yield _row("all", str(nodes.total()), _numbers(nodes, ways), percent(total, total))
    yield _row("share of nodes", "", [percent(nodes[w], nodes.total()) for w in ways])
    yield _row("share of multiply-adds", "", [percent(products[w], total) for w in ways])


def _numbers(found: Counter[Execution], ways: Sequence[Execution]) -> list[str]:
    return [str(found[w]) if found[w] else "-" for w in ways]


def _row(op: str, nodes: str, cells: Sequence[str], share: str = "") -> str:
    name = op if len(op) <= OP else op[: OP - 3] + "..."
    return f"{name:{OP}}{nodes:>7}{''.join(f'{c:>9}' for c in cells)}{share:>8}".rstrip()


def _why(coverage: Coverage) -> Iterator[str]:
    found = [(way, len(names), r.op, why, names) for r in coverage.rows for (way, why), names in r.why.items()]
    if found:
        yield from ("", "Not int8, and why:")
    for way, count, op, why, names in sorted(found, key=lambda f: (EXECUTIONS.index(f[0]), -f[1])):
        shown = ", ".join(names[:SHOWN]) + (f" and {count - SHOWN} more" if count > SHOWN else "")
        yield from _wrapped(f"{way}: {count} {op}: {why}: {shown}", "  ")


def _notes(coverage: Coverage) -> Iterator[str]:
    nodes, total = coverage.nodes(), coverage.multiply_adds().total()
    shapes = ", ".join(f"{n} {'x'.join(map(str, s)) or 'a scalar'}" for n, s in coverage.shapes.items())
    yield ""
    yield from _wrapped(f"share: of {total} multiply-adds of products and recurrent layers, of {shapes or 'no input'}")
    kinds = Counter[str]()
    for r in coverage.rows:
        kinds += r.precisions
    if other := ", ".join(f"{count} in {kind}" for kind, count in kinds.items() if kind not in ("int8", "folded")):
        yield from _wrapped(f"int8: with {other} among them")
    if kinds["folded"]:
        yield from _wrapped(f"int8: with {kinds['folded']} that are part of another int8 node, and cost nothing")
    if nodes["host"]:
        yield from _wrapped("host: what an op computes inside, as the body of a loop, is in no share")
    if nodes["none"]:
        yield from _wrapped("none: nothing runs: the shapes say what it gives, or its branch is not taken")
    if coverage.added:
        yield from _wrapped(f"added by quantization, to convert or to look up tables: {coverage.added}")
    for condition, way in coverage.assumed.items():
        yield from _wrapped(f"taken as {str(way).lower()}, for it depends on data: {condition}")


def _wrapped(text: str, indent: str = "") -> list[str]:
    return wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "    ", break_on_hyphens=False)
