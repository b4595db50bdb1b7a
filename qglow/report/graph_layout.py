"""Places for the nodes of a graph that flows downwards, in layers as Sugiyama draws them.

1. A node's rank is the longest way to it from a source; a source stands right above what reads it first.
2. A value that is read further down passes each rank between through a point there, one for all of its readers.
3. Within a rank, items are ordered by the mean place of their neighbours, down and up in turn.
4. Each item then moves as near to the mean of its neighbours as the order and the distances between items allow: the
   least squares of an isotonic regression (pool adjacent violators).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

NODE, POINT, GAP = 148.0, 6.0, 18.0  # widths
MOST_ITEMS = 6000
SWEEPS = 8


@dataclass(slots=True)
class _Item:
    """A node, or a point that an edge passes through. x: of its middle."""

    width: float
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    x: float = 0.0


@dataclass(frozen=True, slots=True)
class Layout:
    """x: of the middles of all items, nodes first, then points; ranks: of all; edges: (upper item, lower item)."""

    x: Sequence[float]
    ranks: Sequence[int]
    edges: Sequence[tuple[int, int]]


def layout(inputs: Sequence[Sequence[int]]) -> Layout | None:
    """inputs: for each node the nodes that it reads, all of which come before it. None for a graph too large to draw.
    The leftmost edge of an item is at 0."""
    ranks = _ranks(inputs)
    items, edges = _with_points(inputs, ranks)
    if len(items) > MOST_ITEMS:
        return None
    rows: list[list[int]] = [[] for _ in range(max(ranks, default=0) + 1)]
    for k, rank in enumerate(ranks):
        rows[rank].append(k)
    _order(items, rows)
    for row in rows:
        _spread(items, row, [0.0] * len(row))
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            _spread(items, row, [_mean(items, k) for k in row])
    left = min((i.x - i.width / 2 for i in items), default=0.0)
    return Layout([i.x - left for i in items], ranks, edges)


def _ranks(inputs: Sequence[Sequence[int]]) -> list[int]:
    ranks = list[int]()
    for read in inputs:
        ranks.append(1 + max((ranks[k] for k in read), default=-1))
    first = dict[int, int]()
    for k, read in enumerate(inputs):
        for source in read:
            first[source] = min(first.get(source, ranks[k]), ranks[k])
    return [first[k] - 1 if not inputs[k] and k in first else rank for k, rank in enumerate(ranks)]


def _with_points(inputs: Sequence[Sequence[int]], ranks: list[int]) -> tuple[list[_Item], list[tuple[int, int]]]:
    """The nodes, and the points of edges that pass ranks, whose ranks are added to `ranks`; stops beyond the most
    items."""
    items = [_Item(NODE) for _ in inputs]
    passing = dict[tuple[int, int], int]()
    edges = dict[tuple[int, int], None]()
    for k, read in enumerate(inputs):
        for source in read:
            last = source
            for rank in range(ranks[source] + 1, ranks[k]):
                if (source, rank) not in passing:
                    passing[source, rank] = len(items)
                    items.append(_Item(POINT))
                    ranks.append(rank)
                edges[last, passing[source, rank]] = None
                last = passing[source, rank]
            edges[last, k] = None
            if len(items) > MOST_ITEMS:
                return items, []
    for upper, lower in edges:
        items[upper].below.append(lower)
        items[lower].above.append(upper)
    return items, list(edges)


def _order(items: list[_Item], rows: list[list[int]]) -> None:
    place = {k: float(at) for row in rows for at, k in enumerate(row)}

    def centre(k: int, others: Iterable[int]) -> float:
        found = [place[o] for o in others]
        return sum(found) / len(found) if found else place[k]

    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows[1:] if down else rows[-2::-1]:
            row.sort(key=lambda k: centre(k, items[k].above if down else items[k].below))
            place.update((k, float(at)) for at, k in enumerate(row))


def _mean(items: list[_Item], k: int) -> float:
    near = (*items[k].above, *items[k].below)
    return sum(items[o].x for o in near) / len(near) if near else items[k].x


def _spread(items: list[_Item], row: list[int], wanted: list[float]) -> None:
    """Move the items of a row as near to `wanted` as their order and distances allow."""
    shift, shifts = 0.0, list[float]()
    for at, k in enumerate(row):
        shift += (items[row[at - 1]].width + items[k].width) / 2 + GAP if at else 0.0
        shifts.append(shift)
    blocks = list[list[float]]()  # [sum of wanted places less shifts, count]
    for want, by in zip(wanted, shifts, strict=True):
        blocks.append([want - by, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    places = [total / count for total, count in blocks for _ in range(int(count))]
    for k, free, by in zip(row, places, shifts, strict=True):
        items[k].x = free + by
