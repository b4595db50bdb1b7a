"""Max(x, x * alpha) with a scalar 0 <= alpha <= 1 is LeakyRelu(x, alpha)."""

from __future__ import annotations

from ..graph import Array, Node
from ..graph.pattern import Match, constant, is_scalar, op, value
from ..graph.rewrite import Replacement, Rewrite, Rewrites


def _is_slope(c: Array) -> bool:
    return is_scalar(c) and bool(0 <= float(c.ravel()[0]) <= 1)


def _leaky_relu(m: Match) -> Replacement:
    if len(m.root.inputs) != 2 or not m.keeps_shape("x", "alpha"):
        return None
    return Node("LeakyRelu", (m["x"],), m.root.outputs, {"alpha": float(m.constant("alpha").ravel()[0])}, m.root.name)


_SCALED = op("Mul", value("x"), constant("alpha", _is_slope), shared=True)
LEAKY_RELU = Rewrite("leaky_relu", op("Max", value("x"), _SCALED, commutes=True), _leaky_relu)

fuse_leaky_relu = Rewrites("fuse_leaky_relu", LEAKY_RELU)
