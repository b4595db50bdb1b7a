"""Layer normalization that was exported as its parts: (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * gamma +
beta.

The centred value may have been computed twice. Of the forms with and without gamma and beta the longest comes first:
what it does not fit is left to a shorter one.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node
from ..graph.pattern import Match, Op, constant, is_scalar, op, value
from ..graph.rewrite import Replacement, Rewrite, Rewrites


def _is_two(c: Array) -> bool:
    return is_scalar(c) and float(c.reshape(-1)[0]) == 2.0


def _mean(of: Op | None, axes: str) -> Op:
    return op("ReduceMean", of or value("x"), constant(axes, is_scalar), attributes={"keepdims": 1}, shared=True)


_CENTRED = op("Sub", value("x"), _mean(None, "axes"), shared=True)
_SQUARES = {
    "power": op("Pow", _CENTRED, constant("two", _is_two), shared=True),
    "product": op("Mul", _CENTRED, _CENTRED, shared=True),
}


def _unit(square: Op) -> Op:
    variance = _mean(square, "variance axes")
    deviation = op("Sqrt", op("Add", variance, constant("epsilon", is_scalar), shared=True), shared=True)
    return op("Div", _CENTRED, deviation)


def _layer_norm(m: Match) -> Replacement:
    shape = m.type("x").shape
    if not shape or not isinstance(shape[-1], int) or any(not _is_last(m, axes) for axes in ("axes", "variance axes")):
        return None
    if any(not m.keeps_shape("x", scalar) for scalar in ("epsilon", "two") if scalar in m.values):
        return None
    names = []
    for hint, default in (("gamma", np.ones), ("beta", np.zeros)):
        c = _vector(m, hint, shape[-1]) if hint in m.values else default(shape[-1])
        if c is None:
            return None
        names.append(m.add_constant(f"{m.root.outputs[0]}.{hint}", c.astype(m.constant("epsilon").dtype)))
    attributes = {"axis": -1, "epsilon": float(m.constant("epsilon").reshape(-1)[0])}
    return Node("LayerNormalization", (m["x"], *names), m.root.outputs, attributes, m.root.name)


def _is_last(m: Match, axes: str) -> bool:
    rank = m.rank("x")
    return rank is not None and int(m.constant(axes).reshape(-1)[0]) % rank == rank - 1


def _vector(m: Match, name: str, width: int) -> Array | None:
    """A constant as [width], or None where it varies along anything but the last axis."""
    c = m.constant(name)
    if (
        not m.keeps_shape("x", name)
        or c.size not in (1, width)
        or (c.size == width and width > 1 and c.shape[-1] != width)
    ):
        return None
    return np.broadcast_to(c.reshape(-1), (width,))


def _forms(*after: str) -> tuple[Rewrite, ...]:
    """after: what is behind the quotient, of gamma and beta."""
    made = []
    for name, square in _SQUARES.items():
        root = _unit(square)
        for last in after:
            root = op("Mul" if last == "gamma" else "Add", root, constant(last))
        made.append(Rewrite(" ".join((name, *after)), root, _layer_norm))
    return tuple(made)


_LONGER = (_forms("gamma", "beta"), (*_forms("gamma"), *_forms("beta")))

fuse_layer_norm = Rewrites("fuse_layer_norm", *_forms(), first=_LONGER)
