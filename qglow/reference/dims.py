"""Arithmetic of dimensions: an int, the name of a size that is not known yet, or "?" for a size that follows from
nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..graph import Array, Dim, Node, Shape
from ..graph.infer import Contradiction

OPEN = "?"
# of a node's inputs or outputs; None where an input is left out, or the rank is not known
Shapes = Sequence[Shape | None]
Elements = Sequence[Array | None]  # of a node's inputs, None where they are not known
_PROBE = 1 << 20


def first(shapes: Shapes) -> Shape:
    return required(shapes, 0)


def required(shapes: Shapes, k: int) -> Shape:
    """The shape of an input. Raises ValueError where it is left out or its rank is not known."""
    shape = shapes[k] if k < len(shapes) else None
    if shape is None:
        raise ValueError(f"input {k} is missing")
    return shape


def integers(elements: Elements, k: int) -> list[int] | None:
    """The elements of an input of whole numbers, None where it is left out or they are not known."""
    array = elements[k] if k < len(elements) else None
    return None if array is None else [int(v) for v in array.ravel()]


def open_rank(shapes: Shapes, k: int) -> Shape | None:
    """A shape whose dimensions are the elements of input k, which are not known: as many as it has."""
    count = shapes[k][0] if shapes[k] else None  # type: ignore[index]
    return (OPEN,) * count if isinstance(count, int) else None


def axis_of(axis: int, rank: int) -> int:
    """An axis from 0 on. Raises Contradiction where a tensor of this rank has none of that number."""
    if not -rank <= axis < rank:
        raise Contradiction(f"there is no axis {axis} of {rank}")
    return axis % rank


def axis_attribute(node: Node, rank: int) -> int:
    return axis_of(int(node.attr("axis")), rank)


def axes_of(axes: Iterable[int], rank: int) -> set[int]:
    """Axes from 0 on, each of which may be listed once."""
    listed = [axis_of(a, rank) for a in axes]
    if len(set(listed)) < len(listed):
        raise Contradiction(f"axes {listed} of {rank} name one twice")
    return set(listed)


def agree(a: Sequence[Dim], b: Sequence[Dim]) -> bool:
    """Whether two shapes may be the same."""
    return a == b or (
        len(a) == len(b) and all(m == n or isinstance(m, str) or isinstance(n, str) for m, n in zip(a, b, strict=True))
    )


def merged(shapes: Sequence[Shape]) -> Shape:
    """The one shape that all of these are: of each dimension its size, or else a name of it."""
    found = [next((d for d in dims if isinstance(d, int)), None) or dims[0] for dims in zip(*shapes, strict=True)]
    return tuple(found)


def plus(d: Dim, k: int) -> Dim:
    return d + k if isinstance(d, int) else d if k == 0 else OPEN


def product(dims: Iterable[Dim]) -> Dim:
    """The product of dimensions: with one name and nothing else that name."""
    names, size = [], 1
    for d in dims:
        if isinstance(d, int):
            size *= d
        else:
            names.append(d)
    return size if not names or size == 0 else names[0] if len(names) == 1 and size == 1 else OPEN


def divided(d: Dim, k: int, what: str) -> Dim:
    """The k-th part of a dimension. Raises ValueError where there is none."""
    if isinstance(d, int) and d % k:
        raise ValueError(f"{what} of {d} in parts of {k}")
    return d // k if isinstance(d, int) else d if k == 1 else OPEN


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """The shape that all of these broadcast to. Raises ValueError where there is none."""
    if all(s == shapes[0] for s in shapes):
        return shapes[0]
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    return tuple(map(_broadcast, zip(*padded, strict=True)))


def _broadcast(dims: Iterable[Dim]) -> Dim:
    wide = {d for d in dims if d != 1}
    sizes = [d for d in wide if isinstance(d, int)]
    if len(sizes) > 1:
        raise ValueError(f"sizes {sorted(sizes)} do not broadcast")
    return sizes[0] if sizes else 1 if not wide else wide.pop() if len(wide) == 1 else OPEN


def per_axis(sizes: Shape, out: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Shape:
    """The sizes that a function of sizes, each axis by itself, gives. A name stays where its size surely does: the
    function is of the form (d + a) // b + c."""
    if all(isinstance(d, int) for d in sizes):
        return out(sizes)  # type: ignore[arg-type]
    one, two = (out(tuple(d if isinstance(d, int) else probe for d in sizes)) for probe in (_PROBE, 2 * _PROBE))
    return tuple(
        a if isinstance(d, int) else d if (a, b) == (_PROBE, 2 * _PROBE) else OPEN for d, a,
        b in zip(sizes, one, two, strict=True)
    )  # fmt: skip
