"""The memory plan of many buffers: the same by lists and by arrays, and found in a time that many outputs do not blow up."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from random import Random

import pytest

from qglow.errors import VerifyError
from qglow.instructions import plan as planning
from qglow.instructions.barriers import Spans
from qglow.instructions.program import Buffer


def _buffers(seed: int, count: int) -> list[Buffer]:
    rng = Random(seed)
    made = []
    for _ in range(count):
        first = rng.randrange(60)
        made.append(Buffer(rng.choice([0, 1, 64, 100, 4096, rng.randrange(9000)]), first, first + rng.randrange(25)))
    return made


class Program:
    """As much of a program as the plan asks for."""

    def __init__(self, buffers: list[Buffer]) -> None:
        self.buffers, self.arena_size = buffers, 0


@pytest.mark.parametrize("seed", range(4))
def test_lists_and_arrays_give_the_same_places(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for few in (0, 1000):
        monkeypatch.setattr(planning, "FEW", few)
        program = Program(_buffers(seed, 200))
        planning.plan(program)  # type: ignore[arg-type]
        found.append(([b.offset for b in program.buffers], program.arena_size))
    assert found[0] == found[1]
    for a, b in combinations(program.buffers, 2):
        together = a.first <= b.last and b.first <= a.last
        assert not (together and a.offset < b.offset + b.size and b.offset < a.offset + a.size and a.size and b.size)


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_whose_buffers_overlap_is_refused(seed: int) -> None:
    """As the comparison of all pairs says."""
    rng = Random(seed)
    program = Program(_buffers(seed, 40))
    planning.plan(program)  # type: ignore[arg-type]
    moved = rng.choice([b for b in program.buffers if b.size])
    moved.offset = rng.randrange(0, program.arena_size - moved.size)
    pairs = combinations([b for b in program.buffers if b.size], 2)
    alike = any(a.first <= b.last and b.first <= a.last and a.offset < b.offset + b.size and b.offset < a.offset + a.size for a, b in pairs)
    if alike:
        with pytest.raises(VerifyError, match="overlap"):
            planning.verify_plan(program)  # type: ignore[arg-type]
    else:
        planning.verify_plan(program)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(10))
def test_spans_meet_as_all_pairs_do(seed: int) -> None:
    rng = Random(seed)
    some = [replace(b, offset=rng.randrange(40_000)) for b in _buffers(seed, 30)]
    others = [replace(b, offset=rng.randrange(40_000)) for b in _buffers(seed + 100, 30)]
    spans = Spans()
    spans.add(some)
    for b in (*some, *others):
        for but in ((), (b,), tuple(some[:5])):
            alike = any(b.offset < o.offset + o.size and o.offset < b.offset + b.size and all(o is not x for x in but) for o in some)
            assert spans.meet([b], but) == alike
