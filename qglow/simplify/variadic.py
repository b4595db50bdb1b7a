"""Ops of any number of tensors as chains of ops of two, which have kernels and int8 variants: Max and Min of three or
more, and Sum, which adds in the same order. One of a single tensor is that tensor."""

from __future__ import annotations

from functools import partial

from ..graph import DType, Node, TensorType
from ..graph.pattern import Match, op
from ..graph.rewrite import Replacement, Rewrite, Rewrites
from ..reference.dims import OPEN, broadcast_shapes


def _chained(name: str, m: Match) -> Replacement:
    first, *rest = m.root.inputs
    (y,), t = m.root.outputs, m.graph.types[m.root.outputs[0]]
    if t.dtype is not DType.F32 or (m.root.op == name and len(rest) == 1):
        return None  # NOTE: a Sum of float16 is rounded once
    if not rest:
        return first
    nodes = []
    for k, other in enumerate(rest[:-1]):
        shape = _spread(m, first, other)
        if shape is not None and OPEN in shape:
            return None
        part = m.add_value(f"{y}.of_{k + 2}", TensorType(DType.F32, shape))
        nodes.append(Node(name, (first, other), (part,), {}, f"{m.root.name}.of_{k + 2}"))
        first = part
    return *nodes, Node(name, (first, rest[-1]), (y,), {}, m.root.name)


def _spread(m: Match, *values: str) -> tuple[int | str, ...] | None:
    """The shape of two values together; None where the rank of one is not known."""
    shapes = [m.types[v].shape if v in m.types else m.graph.types[v].shape for v in values]
    return None if None in shapes else broadcast_shapes([s for s in shapes if s is not None])


def _as(name: str, variadic: str = "") -> Rewrite:
    return Rewrite((variadic or name).lower(), op(variadic or name), partial(_chained, name))


chain_variadic = Rewrites("chain_variadic", _as("Max"), _as("Min"), _as("Add", "Sum"))
