"""Softmax along another axis than the last is one along the last between transposes, which are views."""

from __future__ import annotations

from ..graph import TensorType
from ..graph.pattern import Match, op, value
from ..graph.rewrite import Replacement, Rewrite, Rewrites


def _along_the_last(m: Match) -> Replacement:
    rank, y = m.rank("x"), m.root.outputs[0]
    shape, axis = m.type("x").shape, int(m.root.attr("axis"))
    if rank is None or shape is None or axis % rank == rank - 1 or all(d == 1 for d in shape[axis % rank + 1 :]):
        return None
    turn = list(range(rank))
    turn[axis], turn[-1] = turn[-1], turn[axis]
    turned = TensorType(m.type("x").dtype, tuple(shape[k] for k in turn))
    before, after = (m.add_value(f"{y}.{name}", turned) for name in ("turned", "along"))
    perm, name = {"perm": tuple(turn)}, m.root.name
    return (
        m.root.with_(op="Transpose", inputs=(m["x"],), outputs=(before,), attributes=perm, name=f"{name}.turned"),
        m.root.with_(inputs=(before,), outputs=(after,)).with_attributes(axis=-1),
        m.root.with_(op="Transpose", inputs=(after,), attributes=perm, name=f"{name}.back"),
    )


SOFTMAX_AXIS = Rewrite("softmax_axis", op("Softmax", value("x")), _along_the_last)

turn_softmax = Rewrites("turn_softmax", SOFTMAX_AXIS)
