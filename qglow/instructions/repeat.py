"""Steps of which some are written once and run many times, as those of a recurrent layer.

A program's steps mean what is written out: whoever looks at them one by one sees each time of a repeat as steps of its
own, and all numbers of steps count so. Whoever asks for `parts_of` sees a repeat as one, however often it runs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import overload

from ..record import NamedTuple
from .program import Instruction, Step, instruction


class Repeat(NamedTuple):
    """Instructions one after the other, `times` times. moves: of each, the bytes by which its operands in the arena
    move on each time; those that are not named stay.

    Threads wait for each other before it, and after each time.
    """

    body: tuple[Instruction, ...]
    moves: tuple[Mapping[str, int], ...]
    times: int

    def written_out(self) -> Iterator[Instruction]:
        yield from self.body
        for time in range(1, self.times):
            for step, moves in zip(self.body, self.moves, strict=True):
                yield moved(step, {name: time * by for name, by in moves.items()}) if moves else step


def moved(step: Instruction, moves: Mapping[str, int]) -> Instruction:
    """The instruction with operands so many bytes further on."""
    operands = {name: (buffer, at + moves.get(name, 0)) for name, (buffer, at) in step.operands.items()}
    return step._replace(operands=instruction(step.kind, operands, {}, {}).operands)


Part = Step | Repeat


class Steps(Sequence[Step]):
    """A program's steps, in parts."""

    __slots__ = ("_starts", "parts")

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self._starts = [0, *accumulate(map(length, self.parts))]

    def __len__(self) -> int:
        return self._starts[-1]

    def __iter__(self) -> Iterator[Step]:
        for part in self.parts:
            if isinstance(part, Repeat):
                yield from part.written_out()
            else:
                yield part

    @overload
    def __getitem__(self, k: int) -> Step: ...
    @overload
    def __getitem__(self, k: slice) -> tuple[Step, ...]: ...
    def __getitem__(self, k: int | slice) -> Step | tuple[Step, ...]:
        if isinstance(k, slice):
            return tuple(self)[k]
        k = range(len(self))[k]
        at = bisect_right(self._starts, k) - 1
        part, k = self.parts[at], k - self._starts[at]
        if not isinstance(part, Repeat):
            return part
        time, j = divmod(k, len(part.body))
        return moved(part.body[j], {name: time * by for name, by in part.moves[j].items()})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


def length(part: Part) -> int:
    """Steps that a part is."""
    return part.times * len(part.body) if isinstance(part, Repeat) else 1


def parts_of(steps: Sequence[Step]) -> Sequence[Part]:
    """Steps with repeats as they are."""
    return steps.parts if isinstance(steps, Steps) else steps


def numbered(steps: Sequence[Step]) -> Iterator[tuple[int, int, Step]]:
    """Every step that is written, with the number of the first and of the last step that it is."""
    k = 0
    for part in parts_of(steps):
        if isinstance(part, Repeat):
            last = k + (part.times - 1) * len(part.body)
            yield from ((k + j, last + j, step) for j, step in enumerate(part.body))
        else:
            yield k, k, part
        k += length(part)


def changed(steps: Sequence[Step], change: Callable[[Instruction], Instruction]) -> Sequence[Step]:
    """The steps with another in place of every instruction, which has its operands."""
    made: list[Part] = []
    for part in parts_of(steps):
        if isinstance(part, Repeat):
            made.append(part._replace(body=tuple([change(s) for s in part.body])))
        else:
            made.append(change(part) if isinstance(part, Instruction) else part)
    return Steps(made)
