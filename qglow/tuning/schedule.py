"""The hints of a program's products, and the rule that gives them where nothing was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass

from ..instructions.packing import PACKINGS, round_up
from ..instructions.program import Native, Program
from ..instructions.table import BY_BLOCKS

CACHE = 393216  # bytes of weights, or of pixels in and out, that are worth keeping near while all of the other go by
Hints = dict[str, int]


@dataclass(frozen=True, slots=True)
class Work:
    """What a conv2d instruction has to do, in the units that a kernel loops over.

    rows: of pixels, of all images; width: pixels of a row; jobs: blocks of output channels, of all groups; block: channels of one;
    channels: of a group's output; steps: dot products of one output; weights: bytes of one block's; pixels: bytes of one row, in and out;
    post, floats: the instruction's fields post and y_f32.
    """

    rows: int
    width: int
    jobs: int
    block: int
    channels: int
    steps: int
    weights: int
    pixels: int
    post: int
    floats: int

    @property
    def key(self) -> str:
        """The name by which a measured choice is kept."""
        return "-".join(map(str, astuple(self)))


Chooser = Callable[[Work, int], Hints]


def work_of(step: Native, isa: str) -> Work:
    """The work of a conv2d instruction."""
    f, p = step.fields, PACKINGS[isa]
    channels, width = int(f["C"]), int(f["W"])
    taps = int(f["KH"]) * int(f["runs"]) * round_up(int(f["run"]), p.step)
    return Work(
        rows=int(f["N"]) * int(f["H"]),
        width=width,
        jobs=int(f["G"]) * -(-channels // p.block),
        block=p.block,
        channels=channels,
        steps=taps // 4,
        weights=p.block * taps,
        pixels=width * (int(f["y_w"]) + int(f["x_w"]) * int(f["SW"])),
        post=int(f["post"]),
        floats=int(f["y_f32"]),
    )


def share(work: Work, threads: int, by_blocks: bool) -> tuple[int, int]:
    """(rows, jobs) of the thread that has most."""
    return (work.rows, -(-work.jobs // threads)) if by_blocks else (-(-work.rows // threads), work.jobs)


def rule(work: Work, threads: int) -> Hints:
    """Threads share rows, or blocks where that is more even. Weights that fit a cache stay there while tiles of rows go by."""
    by_rows, by_blocks = share(work, threads, False), share(work, threads, True)
    split = by_blocks[0] * by_blocks[1] < by_rows[0] * by_rows[1]
    rows, jobs = by_blocks if split else by_rows
    hints = {"split": BY_BLOCKS} if split else {}
    tile = max(2, CACHE // max(1, work.pixels))
    if jobs * work.weights <= CACHE and tile < rows:
        hints["tile"] = tile
    return hints


def products(program: Program) -> list[Native]:
    """The instructions that take hints, in order."""
    return [s for s in program.steps if isinstance(s, Native) and s.kind == "conv2d"]


def schedule(program: Program, threads: int, choose: Chooser = rule) -> None:
    """Give every product its hints."""
    for step in products(program):
        step.hints.clear()
        step.hints.update(choose(work_of(step, program.isa), threads))
