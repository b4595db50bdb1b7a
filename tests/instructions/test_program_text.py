"""A program's text parses back equal, and a malformed line is refused by its number."""

from __future__ import annotations

import numpy as np
import pytest
from program_graphs import boundary_net, feeds_of
from three_engines import static

from qglow.errors import ModelError
from qglow.instructions.lower import lower
from qglow.instructions.program import HostCall, Instruction, Program
from qglow.instructions.text import check_program_text, parse_program, print_plan, print_program


@pytest.fixture
def program() -> Program:
    """Two images, a host step between, a constant operand; names that need quotes."""
    graph = boundary_net('a ; "name"')
    return lower(static(graph, feeds_of(graph, np.random.default_rng(0))), "avx2")


def test_text_round_trip(program: Program) -> None:
    text = print_program(program)
    again = parse_program(text, program.constant_pool, program.graph)
    assert again == program and print_program(again) == text
    assert any(isinstance(s, HostCall) for s in again.steps)
    check_program_text(program)
    commented = "; a comment\n\n" + text.replace('-> %"add"\n', '-> %"add" ; for people\n')
    assert " ; for people" in commented
    assert parse_program(commented, program.constant_pool, program.graph) == program


def test_any_change_shows(program: Program) -> None:
    """Every number of every field is in the text."""
    text = print_program(program)
    for step in program.steps:
        if isinstance(step, Instruction):
            for name, value in step.fields.items():
                other = step._replace(fields={**step.fields, name: value + 1})
                steps = tuple(other if s is step else s for s in program.steps)
                assert print_program(program._replace(steps=steps)) != text, f"{step.kind} {name}"
    for k, b in enumerate(program.buffers):
        buffers = (*program.buffers[:k], b._replace(last=b.last + 1), *program.buffers[k + 1 :])
        assert print_program(program._replace(buffers=buffers)) != text


def test_the_plan_is_sorted_by_address(program: Program) -> None:
    lines = print_plan(program).splitlines()
    addresses = [int(line.split()[0]) for line in lines[1:]]
    assert (
        lines[0] == f"arena {program.arena_size} bytes"
        and addresses == sorted(addresses)
        and len(addresses) == len(program.buffers)
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("program ", "programme ", "line 1: expected `program NAME for ISA"),
        ("@sha256:", "@sha256:0", "line 1: expected constants of .* with this hash"),
        ("constants ", "constants 1", "line 1: expected constants of"),
        ("buffer b1", "buffer b7", "line 3: expected buffer b1, got b7"),
        ("buffer b1: ", "buffer b1: -", "line 3: expected `buffer bN"),
        (", steps 0", ", step 0", "line 2: expected `buffer bN"),
        ("b0+0, strides [", "b99+0, strides [", "line .*: expected a buffer that is declared above, got b99"),
        (": f32[1,3,5,4]", ": f33[1,3,5,4]", "line .*: 'f33' is not a valid DType"),
        (": f32[1,3,5,4]", ": f32[1,3,5]", "line .*: expected 3 strides"),
        ("\n0: ", "\n1: ", "line .*: expected step 0, got 1"),
        (": quantize", ": quantise", "line .*: expected a kind of instruction or host, got quantise"),
        ("@in x=b0", "@out x=b0", "line .*: expected @in x, got @out"),
        ("@in x=b0+0", "@in x=b99+0", "line .*: expected a buffer that is declared above"),
        ("@in x=b0+0", "@in x=here", "line .*: expected a buffer and bytes into it for x"),
        (" N=1", " N=1 N=1", "line .*: N is there twice"),
        (" N=1", " N=one", "line .*: invalid literal for int"),
        (" N=1", " N 1", "line .*: expected an operand or a field, got 'N 1"),
        ("host \"", "host \"not a node ", "line .*: expected the name of one of the graph's nodes"),
        ("host \"", "host ", "line .*: "),
    ],
)  # fmt: skip
def test_malformed_lines_are_refused_by_number(program: Program, old: str, new: str, words: str) -> None:
    text = print_program(program)
    assert old in text
    with pytest.raises(ModelError, match=f"^program text, {words}") as caught:
        parse_program(text.replace(old, new, 1), program.constant_pool, program.graph)
    assert "\n" not in str(caught.value)


def test_a_text_without_a_program_is_refused(program: Program) -> None:
    with pytest.raises(ModelError, match="expected `program NAME for ISA"):
        parse_program("", [], program.graph)
    with pytest.raises(ModelError, match="line .*: value 'x0' has a place already"):
        text = print_program(program)
        value = next(line for line in text.splitlines() if line.startswith("value "))
        parse_program(text.replace(value, f"{value}\n{value}"), program.constant_pool, program.graph)
