"""The memory plan of many buffers: the same by lists and by arrays, and found in a time that many outputs do not blow
up."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from qglow.errors import VerifyError
from qglow.graph import GraphBuilder
from qglow.instructions import plan as planning
from qglow.instructions.barriers import Spans
from qglow.instructions.program import Buffer, Program


def _buffers(seed: int, count: int) -> list[Buffer]:
    rng = Random(seed)
    made = []
    for _ in range(count):
        first = rng.randrange(60)
        made.append(Buffer(rng.choice([0, 1, 64, 100, 4096, rng.randrange(9000)]), first, first + rng.randrange(25)))
    return made


def _program(buffers: list[Buffer]) -> Program:
    """As much of a program as the plan asks for."""
    return Program(GraphBuilder().build("none", [], []), "generic", (), {}, tuple(buffers), (), 0)


@pytest.mark.parametrize("seed", range(4))
def test_lists_and_arrays_give_the_same_places(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for few in (0, 1000):
        monkeypatch.setattr(planning, "FEW", few)
        program = planning.plan(_program(_buffers(seed, 200)))
        found.append(([b.offset for b in program.buffers], program.arena_size))
    assert found[0] == found[1]
    for a, b in combinations(program.buffers, 2):
        together = a.first <= b.last and b.first <= a.last
        assert not (together and a.offset < b.offset + b.size and b.offset < a.offset + a.size and a.size and b.size)


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_whose_buffers_overlap_is_refused(seed: int) -> None:
    """As the comparison of all pairs says."""
    rng = Random(seed)
    program = planning.plan(_program(_buffers(seed, 40)))
    moved = rng.choice([k for k, b in enumerate(program.buffers) if b.size])
    buffers = list(program.buffers)
    buffers[moved] = buffers[moved]._replace(offset=rng.randrange(0, program.arena_size - buffers[moved].size))
    program = program._replace(buffers=tuple(buffers))
    pairs = combinations([b for b in buffers if b.size], 2)
    alike = any(
        a.first <= b.last and b.first <= a.last and a.offset < b.offset + b.size and b.offset < a.offset + a.size
        for a, b in pairs
    )
    if alike:
        with pytest.raises(VerifyError, match="overlap"):
            planning.verify_plan(program)
    else:
        planning.verify_plan(program)


@pytest.mark.parametrize("seed", range(10))
def test_spans_meet_as_all_pairs_do(seed: int) -> None:
    rng = Random(seed)
    buffers = [b._replace(offset=rng.randrange(40_000)) for b in (*_buffers(seed, 30), *_buffers(seed + 100, 30))]
    spans = Spans(buffers)
    spans.add(range(30))
    for k, b in enumerate(buffers):
        for but in ((), (k,), tuple(range(5))):
            others = [o for j, o in enumerate(buffers[:30]) if j not in but]
            assert spans.meet([k], but) == any(
                b.offset < o.offset + o.size and o.offset < b.offset + b.size for o in others
            )
