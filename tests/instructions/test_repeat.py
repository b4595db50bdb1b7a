"""Steps that are written once and run many times: what they mean, their barriers, and that no proof of them holds where
the exact one of the steps written out does not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from program_graphs import Net, feeds_of

from qglow.errors import VerifyError
from qglow.graph import Graph
from qglow.instructions.barriers import barriers, written_out
from qglow.instructions.interpret import Interpreter
from qglow.instructions.lower import lower
from qglow.instructions.program import Instruction, Program
from qglow.instructions.prove import is_quick
from qglow.instructions.repeat import Part, Repeat, Steps, moved, parts_of
from qglow.instructions.verify import verify_program
from qglow.reference import evaluate


def recurrent(direction: str, steps: int = 5) -> Graph:
    n = Net(7)
    return n.graph(*n.lstm(n.input(steps, 2, 19), 20, direction, True))


def repeats(program: Program) -> list[tuple[int, Repeat]]:
    return [(k, p) for k, p in enumerate(parts_of(program.steps)) if isinstance(p, Repeat)]


def with_part(program: Program, k: int, part: Part) -> Program:
    parts = list(parts_of(program.steps))
    parts[k] = part
    return program._replace(steps=Steps(parts))


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_a_recurrent_layer_is_a_repeat_and_what_is_written_out(direction: str) -> None:
    graph = recurrent(direction)
    program = lower(graph, "avx2")
    found = repeats(program)
    assert [r.times for _, r in found] == [5] * (2 if direction == "bidirectional" else 1)
    assert is_quick(program)
    flat = program._replace(steps=tuple(program.steps))
    assert len(flat.steps) == len(program.steps) and flat == program
    assert [program.steps[k] for k in range(len(flat.steps))] == list(flat.steps)
    assert verify_program(flat) == verify_program(program)
    assert len(written_out(program)) == len(flat.steps)
    feeds = feeds_of(graph, np.random.default_rng(0))
    want = evaluate(graph, feeds)
    for made in (program, flat):
        got = Interpreter(made).run(feeds)
        assert all(np.array_equal(got[o], want[o]) for o in graph.outputs)


def test_barriers_of_a_repeat_are_no_fewer_than_those_of_its_steps() -> None:
    program = lower(recurrent("bidirectional"), "avx2")
    flat = [s for s in program.steps if isinstance(s, Instruction)]
    assert len(flat) == len(program.steps)
    needed, there = barriers(flat, program.buffers), written_out(program)
    assert all(b or not a for a, b in zip(needed, there, strict=True))


def broken(repeat: Repeat, size: int) -> Iterator[Repeat]:
    """Repeats with other moves, other places and other times."""
    for j, (step, moves) in enumerate(zip(repeat.body, repeat.moves, strict=True)):
        for name in step.operands:
            for by in (-size, -4, -1, 0, 1, 4, size, moves.get(name, 0) + 4, -moves.get(name, 0)):
                changed = [dict(m) for m in repeat.moves]
                changed[j][name] = by
                yield repeat._replace(moves=tuple(changed))
            if step.operands[name][0] is not None:
                for by in (-size, size, 4):
                    body = list(repeat.body)
                    body[j] = moved(step, {name: by})
                    yield repeat._replace(body=tuple(body))
    yield from (repeat._replace(times=t) for t in (0, 1, 4, 6, 7))
    yield repeat._replace(body=repeat.body[::-1], moves=repeat.moves[::-1])
    yield repeat._replace(body=repeat.body[:1], moves=repeat.moves[:1])
    yield repeat._replace(body=repeat.body * 2, moves=repeat.moves * 2)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_what_is_proven_of_a_repeat_holds_of_what_is_written_out(direction: str) -> None:
    program = lower(recurrent(direction), "avx2")
    quick = disproven = 0
    for k, repeat in repeats(program):
        for other in broken(repeat, 2 * 20 * 4):
            made = with_part(program, k, other)
            flat = made._replace(steps=tuple(made.steps))
            if is_quick(made):
                verify_program(flat)
                quick += 1
                continue
            try:
                verify_program(flat)
            except VerifyError:
                disproven += 1
    assert quick >= 5 and disproven >= 50


def test_a_read_ahead_of_what_moves_is_not_proven() -> None:
    """Each time a buffer is read where it is written the next time: taken all at once it would seem to be there."""
    program = lower(recurrent("forward"), "avx2")
    ((k, repeat),) = repeats(program)
    cell, by = repeat.body[1], repeat.moves[1]["y"]
    buffer, at = cell.operands["y"]
    ahead = cell._replace(operands={**cell.operands, "c_in": (buffer, at + by)})
    made = with_part(
        program, k, repeat._replace(body=(repeat.body[0], ahead), moves=({}, {**repeat.moves[1], "c_in": by}))
    )
    assert not is_quick(made)
    with pytest.raises(VerifyError):
        verify_program(made)
