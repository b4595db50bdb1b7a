"""Nodes that change nothing are removed; where one wrote an output of the graph, an Identity does then
(output_names.py).

1. Identity, a Cast to the type that is there, a Reshape to the shape that is there.
2. A Pad by nothing, a Slice of the whole.
3. x + 0, x - 0, x * 1 and x / 1, by a constant that does not broadcast x.
4. A constant of no elements in a Concat of values of its other sizes.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array
from ..graph.pattern import Match, constant, op, value
from ..graph.rewrite import Replacement, Rewrite, Rewrites
from ..ops import OpDef
from ..ops.traits import RESHAPE


def has_neutral(declared: OpDef) -> bool:
    return declared.neutral is not None


def _captured(m: Match) -> Replacement:
    return m["x"]


def _cast(m: Match) -> Replacement:
    t = m.type("x")  # NOTE: where its shape is not known, its dtype may be a guess
    return m["x"] if t.shape is not None and t.dtype.numpy.name == m.root.attr("to") else None


def _reshaped(m: Match) -> Replacement:
    t = m.type("x")
    return m["x"] if t.is_static and t.shape == m.graph.types[m.root.outputs[0]].shape else None


def _sliced(m: Match) -> Replacement:
    """A Slice (x, starts, ends, axes, steps) that begins at 0, ends beyond every size, and leaves nothing out."""
    steps = m.constant("steps") if m["steps"] else np.ones(1)
    takes_all = (
        np.all(m.constant("starts") == 0)
        and np.all(m.constant("ends") >= np.iinfo(np.int32).max)
        and np.all(steps == 1)
    )
    return m["x"] if takes_all else None


def _without_neutral(m: Match) -> Replacement:
    c, shape = m.constant("c"), m.type("x").shape
    if c.reshape(-1)[0] != m.root.definition.neutral or shape is None or c.ndim > len(shape):
        return None
    # NOTE: where x has a size of 1, or of a name, another of the constant's would be the result's
    fits = all(d in (1, s) for d, s in zip(reversed(c.shape), reversed(shape), strict=False))
    return m["x"] if fits else None


def _without_empty(m: Match) -> Replacement:
    axis, given = m.root.attr("axis"), m.root.inputs
    kept = [i for i in given if not (i in m.graph.constants and _adds_nothing(m, i, axis))]
    if not kept or len(kept) == len(given):
        return None
    return kept[0] if len(kept) == 1 else m.root.with_(inputs=tuple(kept))


def _adds_nothing(m: Match, empty: str, axis: int) -> bool:
    """Whether a constant has no elements along an axis, and its other sizes are known of all that it stands beside."""
    shape, beside = m.graph.constants[empty].shape, [m.graph.types[i].shape for i in m.root.inputs]
    if not -len(shape) <= axis < len(shape) or shape[axis] or any(s is None or len(s) != len(shape) for s in beside):
        return False
    across = [d for d in range(len(shape)) if d != axis % len(shape)]
    return all(s is not None and s[d] == shape[d] for s in beside for d in across)


def _is_zero(c: Array) -> bool:
    return not np.any(c)


def _is_uniform(c: Array) -> bool:
    return c.size > 0 and bool((c == c.reshape(-1)[0]).all())


_X = value("x", constants=True)
_PARTS = (
    constant("starts"),
    constant("ends"),
    value("axes", constants=True, optional=True),
    constant("steps", optional=True),
)
remove_identities = Rewrites(
    "remove_identities",
    Rewrite("identity", op("Identity", _X), _captured),
    Rewrite("cast", op("Cast", _X), _cast),
    Rewrite("reshape", op(RESHAPE, _X), _reshaped),
    Rewrite("pad", op("Pad", _X, constant("pads", _is_zero)), _captured),
    Rewrite("slice", op("Slice", _X, *_PARTS), _sliced),
    Rewrite("empty", op("Concat"), _without_empty),
    Rewrite("neutral", op(has_neutral, value("x"), constant("c", _is_uniform)), _without_neutral),
)
