"""The hints of a program's products, and the rule that gives them where nothing was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from types import MappingProxyType

from ..instructions.packing import round_up
from ..instructions.program import Instruction, Program
from ..instructions.repeat import changed
from ..instructions.table import BY_BLOCKS
from ..kernels.table import accepting, kernel_of, rows_of
from ..record import NamedTuple
from ..targets import NEAR, target

Hints = dict[str, int]
PRODUCTS = ("conv2d", "float_conv2d")
KERNEL = "kernel"  # among hints: the place of a kernel among those that accept an instruction


class ProductShape(NamedTuple):
    """What a product has to do, in the units that a kernel loops over.

    rows: of pixels, of all images; width: pixels of a row; jobs: blocks of output channels, of all groups; block:
    channels of one; channels: of a group's output; steps: dot products of one output; weights: bytes of one block's; x,
    y: bytes of one pixel, in and out; most: pixels that a micro-kernel takes at once, which is how a row is cut into
    `cuts` pieces; post: the instruction's field; floats: 0 where bytes become bytes, 1 where they become floats, 2
    where floats do; near: see Target.
    """

    rows: int
    width: int
    jobs: int
    block: int
    channels: int
    steps: int
    weights: int
    x: int
    y: int
    most: int
    post: int
    floats: int
    near: int = NEAR

    def cuts(self, limit: int = 0) -> int:
        """Pieces of a row. limit: pixels of a piece at most, 0: as many as a micro-kernel takes."""
        return -(-self.width // min(self.most, limit or self.most))

    @property
    def is_float(self) -> bool:
        return self.floats == 2

    @property
    def key(self) -> str:
        """The name by which a measured choice is kept."""
        return "-".join(map(str, self[:-1]))


SchedulePolicy = Callable[[ProductShape, int], Hints]


def product_shape(step: Instruction, isa: str) -> ProductShape:
    """The work of a product."""
    f, s = step.fields, target(isa)
    channels, width = int(f["C"]), int(f["W"])
    is_float = step.kind == "float_conv2d"
    tiles = rows_of(step.kind, isa)[0].blocking(s)
    block = tiles["C"]
    taps_per_step = 1 if is_float else 4  # taps of one step
    taps = int(f["KH"]) * int(f["runs"]) * round_up(int(f["run"]), 1 if is_float else s.step)
    narrow = s.float_pixels[1] if is_float else s.narrow_pixels
    return ProductShape(
        rows=int(f["N"]) * int(f["H"]),
        width=width,
        jobs=int(f["G"]) * -(-channels // block),
        block=block,
        channels=channels,
        steps=taps // taps_per_step,
        weights=4 * block * taps // taps_per_step,
        x=int(f["x_w"]) * int(f["SW"]),
        y=int(f["y_w"]),
        most=narrow if channels <= s.lanes else tiles["W"],
        post=int(f["post"]),
        floats=2 if is_float else int(f["y_f32"]),
        near=s.near,
    )


def share(work: ProductShape, threads: int, by_blocks: bool, limit: int = 0) -> tuple[int, int]:
    """(pieces of rows, jobs) of the thread that has most."""
    pieces = work.rows * work.cuts(limit)
    return (pieces, -(-work.jobs // threads)) if by_blocks else (-(-pieces // threads), work.jobs)


def even_blocks(work: ProductShape, threads: int) -> float:
    """Blocks of the thread that has most, where threads share blocks: the last one of a group counts by the half of it
    that has channels."""
    blocks = -(-work.channels // work.block)
    last = 0.5 if 2 * (work.channels - (blocks - 1) * work.block) <= work.block else 1.0
    ends = [work.jobs * k // threads for k in range(threads + 1)]
    return max(b - a - (1 - last) * (b // blocks - a // blocks) for a, b in pairwise(ends))


def default_schedule(work: ProductShape, threads: int) -> Hints:
    """Threads share rows, or blocks where that is more even. A tile of pixels that fits a cache meets all weights,
    unless it is cheaper that all pixels go by for each block of weights."""
    by_rows, by_blocks = share(work, threads, False), share(work, threads, True)
    split = by_blocks[0] * even_blocks(work, threads) < by_rows[0] * even_blocks(work, 1)
    pieces, jobs = by_blocks if split else by_rows
    hints = {"split": BY_BLOCKS} if split else {}
    piece = -(-work.width // work.cuts()) * (work.x + work.y)
    tile = max(2, work.near // max(1, piece))
    tiles, weights, pixels = -(-pieces // tile), jobs * work.weights, pieces * piece
    again = tiles * weights if weights > work.near else weights
    if tile < pieces and again + pixels < weights + jobs * pixels:
        hints["tile"] = tile
    return hints


def products(program: Program, kinds: tuple[str, ...] = PRODUCTS) -> list[Instruction]:
    """The instructions that take hints, in order."""
    return [s for s in program.steps if isinstance(s, Instruction) and s.kind in kinds]


def schedule(program: Program, threads: int, choose: SchedulePolicy = default_schedule) -> Program:
    """The program with a kernel for every instruction, and hints for every product. Raises KernelError where there is
    no kernel."""
    isa = program.isa

    def change(step: Instruction) -> Instruction:
        if step.kind in PRODUCTS:
            step = hinted(step, choose(product_shape(step, isa), threads), isa)
        return step if step.kernel else step._replace(kernel=kernel_of(step, isa).name)

    return program._replace(steps=changed(program.steps, change))


def with_kernels(program: Program) -> Program:
    """The program with the preferred kernel for each instruction. Raises KernelError where there is none."""
    isa = program.isa
    return program._replace(steps=changed(program.steps, lambda s: s._replace(kernel=kernel_of(s, isa).name)))


def with_hints(program: Program, hints: Iterable[Mapping[str, int]], kinds: tuple[str, ...] = PRODUCTS) -> Program:
    """The program with hints for each of its products of some kinds, in order."""
    of_product = iter(hints)
    steps = [
        hinted(s, next(of_product), program.isa) if isinstance(s, Instruction) and s.kind in kinds else s
        for s in program.steps
    ]
    return program._replace(steps=tuple(steps))


def hinted(step: Instruction, hints: Mapping[str, int], isa: str) -> Instruction:
    """The instruction with hints, among which `kernel` is the place of its kernel among those that accept it, 0 where
    there are fewer."""
    kernels, rest = list(accepting(step, isa)), {n: v for n, v in hints.items() if n != KERNEL}
    chosen = kernels[hints.get(KERNEL, 0) % len(kernels)] if kernels else None
    return step._replace(hints=MappingProxyType(rest), kernel=chosen.name if chosen else "")
