"""The memory plan of many buffers: the same by lists and by arrays, and found in a time that many outputs do not blow
up."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from qglow.errors import VerifyError
from qglow.graph import GraphBuilder
from qglow.instructions import plan as planning
from qglow.instructions.barriers import barriers
from qglow.instructions.program import Buffer, Instruction, Program


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
def test_barriers_are_where_all_pairs_say(seed: int) -> None:
    rng = Random(seed)
    buffers = [b._replace(offset=rng.randrange(400_000)) for b in _buffers(seed, 60)]
    steps = []
    for _ in range(200):
        x, y = rng.randrange(60), rng.randrange(60)
        kind, operands = ("fill", {"y": (y, 0)}) if rng.random() < 0.2 else ("copy", {"x": (x, 0), "y": (y, 0)})
        steps.append(Instruction(kind, operands, {}, {}))
    meets = [[b.offset < o.offset + o.size and o.offset < b.offset + b.size for o in buffers] for b in buffers]
    want, since = [False] * len(steps), 0
    for k, step in enumerate(steps):
        for before in steps[since:k]:
            (x, y), (a, b) = ([s.operands.get(n, (None, 0))[0] for n in "xy"] for s in (step, before))
            assert y is not None and b is not None  # every one writes
            same = y == b and "fill" not in (step.kind, before.kind)
            if (x is not None and meets[x][b]) or (a is not None and meets[y][a]) or (meets[y][b] and not same):
                want[k - 1], since = True, k
                break
    assert barriers(steps, buffers) == want and 5 < sum(want) < len(steps)
