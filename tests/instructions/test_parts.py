"""What each piece of an instruction writes when it runs alone: its own part of the output, along the axes that its kind
declares."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import numpy as np
import pytest
from mutable_program import MutableProgram, changed
from program_graphs import Net
from test_meaning import FORMS

from qglow.errors import VerifyError
from qglow.graph import Array
from qglow.instructions.interpret import blob_of, site_of
from qglow.instructions.lower import lower
from qglow.instructions.meaning import MEANINGS, Meaning, load_families
from qglow.instructions.program import Instruction
from qglow.instructions.prove import is_quick
from qglow.instructions.region import Region
from qglow.instructions.table import BY_BLOCKS, INSTRUCTIONS
from qglow.instructions.verify import verify_program
from qglow.instructions.verify_pieces import NOBODY, faults
from qglow.runtime import InferenceSession
from qglow.runtime.native import NativePlan, Segment
from qglow.runtime.pieces import pieces as pieces_of
from qglow.runtime.step_profile import plan_of

KERNEL = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)
COUNTS = (2, 3, 5)
WHOLE = (0, 0)  # no axis to divide along: one piece writes all
# rows that are scattered, and boxes that are kept, follow from those before them
NOT_DIVIDED = {"scatter", "float_nms"}


def view(table: Array, region: Region, at: int) -> Array:
    region = region.as_bytes()
    return np.lib.stride_tricks.as_strided(
        table[at + region.start :], region.shape, [s * table.itemsize for s in region.strides]
    )


class Pieces:
    """Runs pieces of one instruction on one state of the arena, and says which bytes each writes."""

    def __init__(self, plan: NativePlan, step: Instruction, row: Array) -> None:
        self.plan, self.step, self.row = plan, step, row
        self.kernel, self.before = KERNEL(int(row[0])), plan.arena.copy()
        regions = MEANINGS[step.kind].regions(site_of(plan.program, step, lambda: blob_of(plan.program)))
        written = {
            n: r for n, r in regions.items() if n.partition(".")[0] in INSTRUCTIONS[step.kind].outs and 0 not in r.shape
        }
        self.needed = {n: (r, self._address(n)) for n, r in written.items() if not n.endswith(".any")}
        self.output = np.zeros(plan.arena.size, bool)
        for name, region in written.items():
            view(self.output, region, self._address(name))[...] = True

    def _address(self, name: str) -> int:
        buffer, at = self.step.operands[name.partition(".")[0]]
        assert buffer is not None
        return self.plan.program.buffers[buffer].offset + at

    def run(self, piece: int, pieces: int) -> Array:
        self.kernel(self.row.ctypes.data, 0, piece, pieces)
        return self.plan.arena.copy()

    def alone(self, piece: int, pieces: int) -> tuple[Array, Array]:
        """The bytes that a piece writes, as a mask, and what is in the arena then: those that come out the same from
        two states."""
        found = []
        for mask in (0, 255):
            self.plan.arena[...] = self.before
            self.plan.arena[self.output] ^= mask
            found.append(self.run(piece, pieces))
        assert np.array_equal(found[0][~self.output], self.before[~self.output]), (
            f"piece {piece} writes beside the output"
        )
        return (found[0] == found[1]) & self.output, found[0]


def divided(p: Pieces, masks: list[Array], axes: tuple[int, int]) -> bool:
    """Whether every element along the axes is written by one piece, whole."""
    for region, at in p.needed.values():
        for mask in masks:
            found = view(mask.view(np.uint8), region, at)
            others = tuple(k for k in range(found.ndim) if not axes[0] <= k < axes[1])
            if (found.min(others) != found.max(others)).any():
                return False
    return True


def check_pieces(plan: NativePlan, step: Instruction, row: Array) -> None:
    p, meaning = Pieces(plan, step, row), MEANINGS[step.kind]
    want = p.run(0, 1)
    needed = np.zeros(want.size, bool)
    for region, at in p.needed.values():
        view(needed, region, at)[...] = True
    repeats = meaning.repeats is not None and meaning.repeats(
        site_of(plan.program, step, lambda: blob_of(plan.program))
    )
    for pieces in COUNTS:
        masks = []
        for piece in range(pieces):
            written, got = p.alone(piece, pieces)
            assert np.array_equal(got[written & needed], want[written & needed]), (
                f"{step.kind}: {piece} of {pieces} gives other values"
            )
            masks.append(written)
        assert np.any(masks, 0)[needed].all(), f"{step.kind}: {pieces} pieces leave some of the output out"
        assert any(divided(p, masks, axes) for axes in meaning.cut or (WHOLE,)), (
            f"{step.kind}: {pieces} pieces are divided along other axes"
        )
        twice = (np.sum(masks, 0) > 1).any()
        assert not twice or repeats or not meaning.in_place, f"{step.kind}: two of {pieces} pieces write one element"
    plan.arena[...] = want


def steps_of(plan: NativePlan) -> Iterator[tuple[Instruction, Array]]:
    """Instructions with their rows; what runs on the host in between is run."""
    natives = iter([s for s in plan.program.steps if isinstance(s, Instruction)])
    for part in plan._steps:
        if not isinstance(part, Segment):
            plan._run_host(part)
            continue
        for row in part.rows:
            yield next(natives), row


def is_in_place(step: Instruction) -> bool:
    outs = [step.operands[n] for n in INSTRUCTIONS[step.kind].outs if n in step.operands]
    return any(step.operands.get(n) in outs for n in MEANINGS[step.kind].in_place)


@pytest.mark.parametrize("name", FORMS)
def test_pieces_write_their_own_parts(name: str) -> None:
    net = Net()
    graph, feeds = net.graph(*FORMS[name][1](net)), net.feeds()
    plan = plan_of(InferenceSession(graph, 1), feeds)
    assert isinstance(plan, NativePlan)
    for value, array in feeds.items():
        plan._views[value][...] = array
    for step, row in steps_of(plan):
        if is_in_place(step):  # NOTE: its output is its input, which cannot be turned over; another form has it apart
            KERNEL(int(row[0]))(row.ctypes.data, 0, 0, 1)
            continue
        for split in (0, BY_BLOCKS) if "split" in INSTRUCTIONS[step.kind].hints else (None,):
            if split is not None:
                row[INSTRUCTIONS[step.kind].index("split")] = split
            check_pieces(plan, step, row)


def test_every_kind_says_how_it_may_be_divided() -> None:
    assert {kind for kind in INSTRUCTIONS if not load_families()[kind].cut} == NOT_DIVIDED
    for kind in NOT_DIVIDED:
        assert pieces_of(Instruction(kind, {}, {}, dict.fromkeys(INSTRUCTIONS[kind].fields, 1 << 20)), 4, 1) == 1


def test_what_does_not_say_how_is_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Instruction("copy", {}, {}, {"N": 1, "H": 1, "W": 1, "C": 100_000})
    assert pieces_of(step, 4, 50_000) == 4
    monkeypatch.setitem(MEANINGS, "copy", load_families()["copy"]._replace(cut=()))
    assert pieces_of(step, 4, 50_000) == 1


def found_by(meaning: Meaning, y: Region, x: Region, x_at: int) -> list[str]:
    table = np.full(64, NOBODY, np.int32)
    found = list(faults(meaning, [("y", y, 0)], [("x", x, x_at)], lambda region, at: view(table, region, at)))
    assert (table == NOBODY).all()
    return found


def test_parts_that_are_not_apart_are_found() -> None:
    copy, x = load_families()["copy"], Region((1, 4, 2, 2), (16, 4, 2, 1))
    assert found_by(copy, Region((1, 4, 2, 2), (16, 4, 2, 1)), x, 32) == []
    assert found_by(copy, Region((1, 0, 2, 2), (16, 4, 2, 1)), x, 0) == []
    assert "written by one part" in found_by(copy, Region((1, 4, 2, 2), (12, 3, 2, 1)), x, 32)[0]
    assert found_by(copy, Region((1, 4, 2, 2), (16, 4, 0, 1)), x, 32) == []  # NOTE: twice, but by one part
    assert "no part to read" in found_by(copy, Region((1, 4, 2, 2), (16, 4, 2, 1)), x, 15)[0]
    assert "axes" in found_by(copy, Region((16,), (1,)), x, 32)[0]


def test_tables_by_channel_are_not_looked_up_in_place() -> None:
    """A kernel takes the last 16 channels together with some before them, which it then looks up twice."""
    net = Net()
    x = net.table(net.input(2, 20, 4, 3))
    tables = net.constant("t", net.rng.integers(0, 256, (20, 256)).astype(np.uint8))
    program = lower(net.graph(net.op("Lookup", (x, tables), axis=1)), "avx2")
    second = [s for s in program.steps if isinstance(s, Instruction) and s.kind == "lookup"][1]
    assert second.fields["t_c"] == 256 and is_quick(program)
    assert second.operands["y"] != second.operands["x"]

    def in_place(p: MutableProgram) -> None:
        step, name = p.instructions("lookup")[1], p.graph.outputs[0]
        source = step.operands["x"][0]
        assert source is not None
        step.operands["y"], p.buffers[source].last = step.operands["x"], len(p.steps)
        step.fields |= {f"y_{a}": step.fields[f"x_{a}"] for a in "nhw"}
        p.places[name] = p.places[name]._replace(buffer=source)

    program = changed(program, in_place)
    with pytest.raises(VerifyError, match=r"lookup .*expected y apart from what is read"):
        verify_program(program)
