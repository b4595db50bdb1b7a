"""Loop nests over strided operands: dimensions in the output's order, adjacent ones merged where every operand allows
it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

Strides = tuple[int, ...]
Loop = tuple[int, Strides]  # iterations, and the step of each operand in bytes


def coalesce_dims(shape: Sequence[int], strides: Sequence[Strides], keep_last: bool = False) -> list[Loop]:
    """Loops, outermost first, over operands of one shape; the first operand's strides give the order.

    keep_last: leave the innermost as it is. Where nothing is to be visited, one loop of no iterations.
    """
    if 0 in shape:
        return [(0, tuple(s[-1] for s in strides))]
    loops = [(d, tuple(s[k] for s in strides)) for k, d in enumerate(shape) if d != 1]
    loops.sort(key=lambda loop: -loop[1][0])
    merged: list[Loop] = []
    for index, (d, s) in enumerate(loops):
        last = keep_last and index == len(loops) - 1
        if merged and not last and all(outer == inner * d for outer, inner in zip(merged[-1][1], s, strict=True)):
            merged[-1] = (merged[-1][0] * d, s)
        else:
            merged.append((d, s))
    return merged


def padded(loops: list[Loop], count: int, operands: int) -> list[Loop] | None:
    """Exactly `count` loops, with single iterations added outside; None where there are more."""
    if len(loops) > count:
        return None
    return [(1, (0,) * operands)] * (count - len(loops)) + loops


def offsets(loops: Sequence[Loop], operands: int) -> list[tuple[int, ...]]:
    """Bytes into each operand for each index of the loops."""
    indices = product(*(range(d) for d, _ in loops))
    return [
        tuple(sum(i * s[k] for i, (_, s) in zip(index, loops, strict=True)) for k in range(operands))
        for index in indices
    ]


ROW = 4096  # elements of a row that is worth handing to a thread
LONG_RUN, MOST_ROWS = 64, 16  # elements of a run that is worth a row of its own; rows that shorter runs are cut in


def rows_for_threads(loops: list[Loop], any_length: bool) -> list[Loop]:
    """The loops, one long row as several. any_length: of a program for many lengths, which stay as they are, for how
    many rows is no affine function of a length."""
    return loops if any_length else split_rows_for_threads(loops, ROW)


def split_rows_for_threads(loops: list[Loop], least: int) -> list[Loop]:
    """Rows that threads can share, where there is a single one. loops: four, the last two a row and its runs. least:
    elements of a row.

    A single run is cut in rows. Of several runs each is a row where it is long; short ones, which take as long as 16
    elements each, are cut in rows of many.
    """
    *outer, (w, t), (d, s) = loops
    if any(o[0] != 1 for o in outer):
        return loops
    if w == 1:
        rows = _divisor(d, d // least)
        return loops if rows == 1 else [*outer[:-1], (rows, tuple(d // rows * e for e in s)), (w, t), (d // rows, s)]
    rows = w if d >= LONG_RUN else _divisor(w, min(MOST_ROWS, w * max(d, 16) // least))
    return loops if rows == 1 else [*outer[:-1], (rows, tuple(w // rows * e for e in t)), (w // rows, t), (d, s)]


def _divisor(count: int, most: int) -> int:
    """The largest divisor of a count that is at most `most`; 1 where there is none."""
    return next((r for r in range(most, 1, -1) if count % r == 0), 1)
