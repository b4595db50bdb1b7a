"""Output shapes of ops that move elements, or make tensors of shapes, as shape_rules.py has those of other ops."""

from __future__ import annotations

from collections import Counter
from math import ceil

from ..graph import Array, Dim, Node, Shape
from ..graph.infer import Contradiction
from . import dims
from .dims import (
    OPEN,
    Elements,
    Shapes,
    agree,
    axis_attribute,
    broadcast_shapes,
    divided,
    first,
    integers,
    product,
    required,
)
from .float_shape import pad_widths, slice_index, split_sizes


def reshape(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, wanted = first(shapes), integers(elements, 1)
    if wanted is None:
        return [dims.open_rank(shapes, 1)]
    made: list[Dim] = [x[k] if d == 0 and not node.attr("allowzero") else d for k, d in enumerate(wanted)]
    if made.count(-1) > 1 or any(isinstance(d, int) and d < -1 for d in made):
        raise Contradiction(f"a shape of {wanted}")
    rest = [d for d in made if d != -1]
    part = _quotient(x, rest, exact=-1 not in made)
    return [tuple(part if d == -1 else d for d in made)]


def _quotient(x: Shape, y: list[Dim], exact: bool) -> Dim:
    """The product of the dimensions x by that of y. exact: it must be 1. Raises ValueError where it must be and
    cannot."""
    above, below = Counter(d for d in x if isinstance(d, str)), Counter(d for d in y if isinstance(d, str))
    if OPEN in above or OPEN in below or below - above:
        return OPEN
    names = [*(above - below).elements()]
    size, parts = product(d for d in x if isinstance(d, int)), product(d for d in y if isinstance(d, int))
    assert isinstance(size, int) and isinstance(parts, int)
    if names:
        return names[0] if len(names) == 1 and size == parts else OPEN
    if (size != parts) if exact else (not parts or size % parts):
        if above:  # NOTE: which may be 0
            return OPEN
        raise ValueError(f"{size} elements in a shape of {parts}")
    return size // parts if parts else 1


def flatten(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, axis = first(shapes), int(node.attr("axis"))
    at = len(x) if axis == len(x) else dims.axis_of(axis, max(1, len(x)))
    return [(product(x[:at]), product(x[at:]))]


def squeeze(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, listed = first(shapes), integers(elements, 1)
    if listed is None and node.input(1):
        count = product(required(shapes, 1))
        return [(OPEN,) * (len(x) - count) if isinstance(count, int) else None]
    if listed is None:
        return [tuple(d for d in x if d != 1) if all(isinstance(d, int) for d in x) else None]
    axes = dims.axes_of(listed, len(x))
    if any(not agree((x[k],), (1,)) for k in axes):
        raise ValueError(f"axes {sorted(axes)} of {list(x)} are not all of size 1")
    return [tuple(d for k, d in enumerate(x) if k not in axes)]


def unsqueeze(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, listed = first(shapes), integers(elements, 1)
    if listed is None:
        count = product(required(shapes, 1))
        return [(OPEN,) * (len(x) + count) if isinstance(count, int) else None]
    rank = len(x) + len(listed)
    axes, rest = dims.axes_of(listed, rank), iter(x)
    return [tuple(1 if k in axes else next(rest) for k in range(rank))]


def transpose(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x = first(shapes)
    perm = node.attr("perm") or range(len(x))[::-1]
    if sorted(perm) != list(range(len(x))):
        raise Contradiction(f"axes {list(perm)} of {len(x)}")
    return [tuple(x[p] for p in perm)]


def slice_(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x = first(shapes)
    axes = integers(elements, 3)
    if any(node.input(k) and elements[k] is None for k in range(1, 5)):
        count = product(required(shapes, 1))
        open_axes = range(len(x))
        if axes is not None or (not node.input(3) and isinstance(count, int)):
            open_axes = range(count) if axes is None else axes  # type: ignore[arg-type, assignment]
        gone = {dims.axis_of(a, len(x)) for a in open_axes}
        return [tuple(OPEN if k in gone else d for k, d in enumerate(x))]
    return [tuple(_kept(d, s) for d, s in zip(x, slice_index(x, elements), strict=True))]


def _kept(d: Dim, s: slice) -> Dim:
    """What a slice leaves of a dimension."""
    if isinstance(d, int):
        return len(range(*s.indices(d)))
    full = s.start in (0, None) and s.step in (1, None) and (s.stop is None or s.stop >= 2**31 - 1)
    return d if full else OPEN


def split(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, sizes = first(shapes), integers(elements, 1)
    axis = axis_attribute(node, len(x))
    size, parts = x[axis], [OPEN] * len(node.outputs)
    if isinstance(size, int) and (sizes is not None or not node.input(1)):
        parts = split_sizes(node, size, elements[1] if node.input(1) else None)  # type: ignore[assignment]
    elif sizes is not None and len(sizes) == len(parts):
        parts = sizes  # type: ignore[assignment]
    return [(*x[:axis], part, *x[axis + 1 :]) for part in parts]


def concat(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    given = [required(shapes, k) for k in range(len(shapes))]
    axis = axis_attribute(node, len(given[0]))
    beside = [(*s[:axis], *s[axis + 1 :]) for s in given]
    if any(len(s) != len(given[0]) for s in given) or not all(agree(beside[0], s) for s in beside):
        raise ValueError(f"shapes {given[:8]} differ beside the axis {axis}")
    sizes = [s[axis] for s in given]
    joined = sum(sizes) if all(isinstance(d, int) for d in sizes) else OPEN  # type: ignore[arg-type]
    others = dims.merged(beside)
    return [(*others[:axis], joined, *others[axis:])]


def gather(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, at = first(shapes), required(shapes, 1)
    axis = axis_attribute(node, len(x))
    size, indices = x[axis], elements[1]
    if isinstance(size, int) and indices is not None and indices.size:
        strange = [int(v) for v in (indices.min(), indices.max()) if not -size <= v < size]
        if strange:
            raise Contradiction(f"index {strange[0]} of {size} along axis {axis}")
    return [(*x[:axis], *at, *x[axis + 1 :])]


def gather_elements(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, at = first(shapes), required(shapes, 1)
    axis = axis_attribute(node, len(x))
    beside = [(d, i) for k, (d, i) in enumerate(zip(x, at, strict=False)) if k != axis]
    if len(at) != len(x) or any(isinstance(d, int) and isinstance(i, int) and i > d for d, i in beside):
        raise Contradiction(f"indices of {list(at)} along axis {axis} of {list(x)}")
    return [at]


def gather_nd(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, at, batch = first(shapes), required(shapes, 1), int(node.attr("batch_dims"))
    deep = at[-1] if at else 0
    if not isinstance(deep, int):
        return [None]
    differ = any(isinstance(d, int) and isinstance(i, int) and i != d for d, i in zip(x[:batch], at, strict=False))
    if deep < 1 or batch + deep > len(x) or batch >= len(at) or differ:
        raise Contradiction(f"indices of {list(at)} in {list(x)} with batch_dims {batch}")
    return [(*at[:-1], *x[batch + deep :])]


def expand(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, wanted = first(shapes), integers(elements, 1)
    if wanted is not None:
        return [broadcast_shapes([x, tuple(wanted)])]
    opened = dims.open_rank(shapes, 1)
    return [None if opened is None else (OPEN,) * max(len(x), len(opened))]


def tile(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, repeats = first(shapes), integers(elements, 1)
    if repeats is None:
        return [(OPEN,) * len(x)]
    if len(repeats) != len(x) or any(r < 0 for r in repeats):
        raise Contradiction(f"repeats {repeats} of {len(x)} dimensions")
    return [tuple(map(product, zip(x, repeats, strict=True)))]


def pad(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x = first(shapes)
    if any(node.input(k) and elements[k] is None for k in (1, 3)):
        return [(OPEN,) * len(x)]
    return [tuple(dims.plus(d, b + a) for d, (b, a) in zip(x, pad_widths(len(x), elements), strict=True))]


def depth_to_space(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    (n, c, h, w), b = _image(shapes), int(node.attr("blocksize"))
    return [(n, divided(c, b * b, "channels"), product((h, b)), product((w, b)))]


def space_to_depth(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    (n, c, h, w), b = _image(shapes), int(node.attr("blocksize"))
    return [(n, product((c, b * b)), divided(h, b, "rows"), divided(w, b, "columns"))]


def _image(shapes: Shapes) -> Shape:
    x = first(shapes)
    if len(x) != 4:
        raise Contradiction(f"expected an image [N, C, H, W], got {list(x)}")
    return x


def constant_of_shape(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    wanted = integers(elements, 0)
    return [dims.open_rank(shapes, 0) if wanted is None else tuple(wanted)]


def range_(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    given: list[Array] = [a for a in elements[:3] if a is not None]
    if len(given) < 3:
        return [(OPEN,)]
    start, stop, step = (a.ravel()[0] for a in given)
    if start.dtype.kind == "f":
        return [(max(0, ceil((float(stop) - float(start)) / float(step))),)]
    a, b, c = int(start), int(stop), int(step)
    if not c:
        raise ValueError("a step of 0")
    return [(max(0, -(-(b - a) // c)),)]


def shape(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    return [(len(first(shapes)[node.attr("start") : node.attr("end")]),)]


def scalar(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    return [()]
