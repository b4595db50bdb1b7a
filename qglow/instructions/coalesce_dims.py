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


def split_rows_for_threads(loops: list[Loop], least: int) -> list[Loop]:
    """A long single run cut in rows, so that threads have something to share. loops: four, the last the run. least:
    elements of a row."""
    (d, s), outer = loops[-1], loops[:-1]
    if any(o[0] != 1 for o in outer) or d < 2 * least:
        return loops
    rows = next((r for r in range(d // least, 1, -1) if d % r == 0), 1)
    return [*outer[:-2], (rows, tuple(d // rows * e for e in s)), outer[-1], (d // rows, s)]
