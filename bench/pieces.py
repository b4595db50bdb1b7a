"""How well the instructions of a network are shared by threads: the pieces of each, timed one after the other on one
thread.

    python -m bench.pieces --models mobilenetv2,nanodet_m_320 --threads 2 --worst 5

It needs no idle machine, as minima of single pieces are short, and tells what the cut into pieces would give if
barriers cost nothing and no data crossed from one core to another: "even" is the time of all instructions as wholes
over the sum, of all phases, of the time of the thread that has most to do. "again" is what all pieces take together
over the wholes: above 1 where pieces do something again. --worst: the instructions that lose most, with the
microseconds of each piece.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from time import perf_counter_ns

import qglow
from qglow.graph import Array
from qglow.instructions.program import HostCall, Instruction
from qglow.record import NamedTuple
from qglow.runtime.native import NativePlan, Segment
from qglow.runtime.step_profile import plan_of

from . import options
from .prepared import Prepared, prepare

REPEATS = 25
SHOWN = ("N", "H", "W", "C", "KH", "KW", "run")
_KERNEL = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)


class Shared(NamedTuple):
    """An instruction: microseconds of the whole, and of each piece; whether a phase ends with it."""

    name: str
    whole: float
    pieces: tuple[float, ...]
    ends: bool

    @property
    def lost(self) -> float:
        """Microseconds of the largest piece beyond an even share."""
        return max(self.pieces) - self.whole / max(2, len(self.pieces))


def least(row: Array, piece: int, pieces: int, empty: float) -> float:
    """Microseconds of a piece, less those of a call."""
    kernel = _KERNEL(int(row[0]))
    arguments = [ctypes.c_int64(n) for n in (row.ctypes.data, 0, piece, pieces)]
    best = float("inf")
    for _ in range(REPEATS):
        start = perf_counter_ns()
        kernel(*arguments)
        best = min(best, perf_counter_ns() - start)
    return max(best / 1e3 - empty, 0.01)


def cost_of_a_call(plan: NativePlan) -> float:
    """Microseconds of a native call that executes nothing."""
    best, nothing = float("inf"), ctypes.c_int64(0)
    for _ in range(1000):
        start = perf_counter_ns()
        plan._execute(nothing, nothing)
        best = min(best, perf_counter_ns() - start)
    return best / 1e3


def shared_by(plan: NativePlan) -> Iterator[Shared]:
    """The native instructions of a plan that ran before, in order."""
    empty = cost_of_a_call(plan)
    steps = iter([s for s in plan.program.steps if not isinstance(s, HostCall)])
    for segment in plan._steps:
        if not isinstance(segment, Segment):
            continue
        for k, row in enumerate(segment.rows):
            step, count = next(steps), int(row[1]) >> 8
            assert isinstance(step, Instruction)
            name = " ".join([step.kind, *(f"{n}={step.fields[n]}" for n in SHOWN if n in step.fields)])
            whole, ends = least(row, 0, 1, empty), bool(row[1] & 1) or k + 1 == len(segment.rows)
            yield Shared(name, whole, tuple(least(row, p, count, empty) for p in range(count)), ends)


def phases(found: list[Shared], threads: int) -> list[list[float]]:
    """Microseconds of each thread in each phase, pieces with their owners."""
    result, now = [], [0.0] * threads
    for s in found:
        for k, spent in enumerate(s.pieces):
            now[k * threads // len(s.pieces)] += spent
        if s.ends:
            result.append(now)
            now = [0.0] * threads
    return result


def show(model: Prepared, threads: int, worst: int) -> None:
    session = qglow.InferenceSession(model.bundle(), threads)
    session.run(None, model.samples[0])
    plan = plan_of(session, model.samples[0])
    if not isinstance(plan, NativePlan) or plan.threads == 1:
        print(f"{model.name:28s} runs on one thread")
        return
    found = list(shared_by(plan))
    whole, cut, all_pieces = sum(s.whole for s in found), phases(found, threads), sum(sum(s.pieces) for s in found)
    even = whole / sum(map(max, cut))
    print(f"{model.name:28s} {whole:8.0f} us  even {even:5.2f}  again {all_pieces / whole:5.3f}  {len(cut)} phases")
    for s in sorted(found, key=lambda s: -s.lost)[:worst]:
        pieces = ", ".join(f"{p:.1f}" for p in s.pieces)
        print(f"    lost {s.lost:6.1f} us  {s.name}: {s.whole:.1f} us, pieces {pieces}")


def main() -> int:
    parser = options.parser(__doc__)
    options.add_models(parser, "mobilenetv2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worst", type=int, default=0, help="instructions to name")
    given = parser.parse_args()
    for name in given.models:
        show(prepare(name, given.cache), given.threads, given.worst)
    return 0


if __name__ == "__main__":
    sys.exit(main())
