"""A BatchNormalization that no product takes in is a per-channel Mul and Add: x * a + c."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node
from ..graph.pattern import Match, constant, op, value
from ..graph.rewrite import Replacement, Rewrite, Rewrites

BATCH_NORM = op("BatchNormalization", value("x"), *map(constant, ("scale", "bias", "mean", "var")), name="norm")


def factor_and_offset(m: Match) -> tuple[Array, Array]:
    """(a, c) of a matched normalization, float64 [channels]."""
    scale, bias, mean, var = (m.constant(k).astype(np.float64) for k in ("scale", "bias", "mean", "var"))
    a = scale / np.sqrt(var + m.node("norm").attr("epsilon"))
    return a, bias - mean * a


def _split(m: Match) -> Replacement:
    rank = m.rank("x")
    if rank is None:
        return None
    (y,), shape, dtype = m.root.outputs, (-1, *(1,) * (rank - 2)), m.constant("scale").dtype
    arrays = zip((f"{y}.factor", f"{y}.offset"), factor_and_offset(m), strict=True)
    factor, offset = (m.add_constant(name, a.astype(dtype).reshape(shape)) for name, a in arrays)
    scaled = m.add_value(f"{y}.scaled", m.graph.types[y])
    return (
        Node("Mul", (m["x"], factor), (scaled,), {}, f"{m.root.name}.scale"),
        Node("Add", (scaled, offset), (y,), {}, m.root.name),
    )


split_batch_norm = Rewrites("split_batch_norm", Rewrite("split", BATCH_NORM, _split))
