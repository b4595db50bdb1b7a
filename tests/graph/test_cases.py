"""File tests: a graph's text, what to run on it, and what must come out.

A case is a file in `cases/`. Lines that begin with `;` say what to do; the graph is the rest, up to `; gives`.

    ; run: NAME ...       passes of simplify by name, or simplify, quantize, verify, parse, types; in this order
    ; range: VALUE LOW HIGH     for quantize: what the profile saw of a value (others: -1 to 1)
    ; error: TEXT         the last one fails, and its one-line message holds TEXT; more than one line may ask
    ; holds: TEXT         a text that the result holds; `; lacks: TEXT` one that it does not
    ; gives               what follows is the whole result
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from backends import backends_agree
from expectations import Asked, asked_of, check

from qglow.checking import check_meaning, check_types, random_feeds
from qglow.graph import Graph
from qglow.graph.text import parse_graph, print_graph
from qglow.graph.verify import verify
from qglow.profiling import Observer
from qglow.profiling.profile import profiled_values
from qglow.quantization import QuantConfig, quantize_graph
from qglow.simplify import PASSES, simplify

CASES = sorted((Path(__file__).parent / "cases").glob("*.txt"))
KEYS = ("run", "range", "error", "holds", "lacks")


@dataclass
class Case:
    text: str
    gives: str
    asked: Asked


def read(path: Path) -> Case:
    given, _, gives = path.read_text().partition("; gives\n")
    graph = "\n".join(line for line in given.splitlines() if not line.startswith(";"))
    case = Case(graph.strip() + "\n", gives, asked_of(given, KEYS))
    assert case.asked["run"] and (case.gives or case.asked["error"] or case.asked["holds"]), (
        f"{path.name} asks for nothing"
    )
    return case


def quantize(graph: Graph, ranges: list[str]) -> Graph:
    given = {name: (float(low), float(high)) for name, low, high in (r.split() for r in ranges)}
    observed = {}
    for name in profiled_values(graph):
        observed[name] = Observer()
        observed[name].observe(np.array(given.get(name, (-1, 1)), np.float32))
    return quantize_graph(graph, observed, QuantConfig(calibration="minmax")).graph


def typed(graph: Graph) -> Graph:
    check_types(graph, "case")
    return graph


def run(case: Case) -> Graph:
    steps: dict[str, Callable[[Graph], Graph]] = {p.__name__: p for p in PASSES}
    steps |= {
        "simplify": simplify,
        "verify": verify,
        "types": typed,
        "quantize": lambda g: quantize(g, case.asked["range"]),
    }
    graph = parse_graph(case.text)
    for name in " ".join(case.asked["run"]).split():
        if name == "parse":
            continue
        before, graph = graph, steps[name](graph)
        if name not in ("quantize", "verify", "types"):
            check_meaning(before, graph, name)
    return graph


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_case(path: Path) -> None:
    case = read(path)
    check(case.asked, case.gives, lambda: printed(run(case)))


@pytest.mark.parametrize("path", [p for p in CASES if not read(p).asked["error"]], ids=lambda p: p.stem)
def test_every_backend_runs_the_result(path: Path) -> None:
    graph = run(read(path))
    backends_agree(graph, random_feeds(graph))


def printed(graph: Graph) -> str:
    """The text of a graph that is valid, and that parses back equal."""
    text = print_graph(verify(graph))
    assert print_graph(parse_graph(text, graph.constants)) == text
    return text


def test_every_pass_has_a_case() -> None:
    ran = {name for path in CASES for name in " ".join(read(path).asked["run"]).split()}
    assert {p.__name__ for p in PASSES} <= ran
