"""File tests of instructions: a graph's text, what to run on it, and what must come out.

A case is a file in `cases/`. Lines that begin with `;` say what to do; the graph is the rest, up to `; gives` or `;
program`.

    ; run: NAME ...       in this order: lower (to `; isa: NAME`, default avx2), or parse (the text after `; program`);
    verify; agree (the
                          meaning equals the reference on random inputs); text (of the program)
    ; error: TEXT         the last one fails, and its one-line message holds TEXT; more than one line may ask
    ; holds: TEXT         a text that the program's text holds; `; lacks: TEXT` one that it does not
    ; edit: OLD -> NEW    a change of the program's text between lower and what follows it; parsed again
    ; gives               what follows is the whole text of the program, without what the constants' bytes hash to
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from backends import backends_agree
from expectations import Asked, asked_of, check
from program_graphs import feeds_of
from three_engines import same

from qglow.graph import Graph
from qglow.graph.text import parse_graph
from qglow.graph.verify import verify
from qglow.instructions.interpret import run_program
from qglow.instructions.lower import lower
from qglow.instructions.program import Program
from qglow.instructions.text import check_program_text, parse_program, print_program
from qglow.instructions.verify import verify_program
from qglow.reference import evaluate

CASES = sorted((Path(__file__).parent / "cases").glob("*.txt"))
KEYS = ("run", "isa", "error", "holds", "lacks", "edit")
STEPS = ("lower", "parse", "verify", "agree", "text")


@dataclass
class Case:
    graph: Graph
    program: str
    gives: str
    asked: Asked

    @property
    def steps(self) -> list[str]:
        return " ".join(self.asked["run"]).split()


def read(path: Path) -> Case:
    given, _, gives = path.read_text().partition("; gives\n")
    given, _, program = given.partition("; program\n")
    asked = asked_of(given, KEYS)
    case = Case(verify(parse_graph(given)), program, gives, asked)
    assert case.steps and set(case.steps) <= set(STEPS), f"{path.name}: expected steps of {STEPS}, got {case.steps}"
    assert gives or asked["error"] or asked["holds"], f"{path.name} asks for nothing"
    return case


def edited(program: Program, edits: list[str]) -> Program:
    text = print_program(program)
    for edit in edits:
        old, _, new = edit.partition(" -> ")
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times:\n{text}"
        text = text.replace(old, new)
    return parse_program(text, program.constant_pool, program.graph)


def run(case: Case) -> Program:
    program: Program | None = None
    for name in case.steps:
        if name == "lower":
            program = edited(lower(case.graph, (case.asked["isa"] or ["avx2"])[0]), case.asked["edit"])
        elif name == "parse":
            program = parse_program(case.program, [], case.graph)
        else:
            assert program is not None
            if name == "verify":
                verify_program(program)
            elif name == "text":
                check_program_text(program)
            else:
                feeds = feeds_of(case.graph, np.random.default_rng(0))
                same(run_program(program, feeds, check=True), evaluate(case.graph, feeds), "the meaning")
    assert program is not None
    return program


def without_hash(text: str) -> str:
    return re.sub(r" @sha256:\w+", "", text)


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_case(path: Path) -> None:
    case = read(path)
    check(case.asked, case.gives, lambda: without_hash(print_program(run(case))))


@pytest.mark.parametrize("path", [p for p in CASES if not read(p).asked["error"]], ids=lambda p: p.stem)
def test_every_backend_runs_the_graph(path: Path) -> None:
    graph = read(path).graph
    backends_agree(graph, feeds_of(graph, np.random.default_rng(1)))
