"""Ops of any number of tensors as chains of ops of two, which have kernels and int8 variants: Max and Min of three or
more, Sum, which adds in the same order, and Mean, which divides that by their number."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..graph import DType, Node, TensorType
from ..graph.pattern import Match, op
from ..graph.rewrite import Replacement, Rewrite, Rewrites
from ..reference.dims import OPEN, broadcast_shapes


def _chained(name: str, m: Match) -> Replacement:
    """The inputs of the root, by ops of two. NOTE: a Sum of float16 is rounded once."""
    (y,), t, label, mean = m.root.outputs, m.graph.types[m.root.outputs[0]], m.root.name, m.root.op == "Mean"
    last, *rest = m.root.inputs
    if t.dtype is not DType.F32 or (m.root.op == name and len(rest) == 1):
        return None
    nodes = []
    for k, other in enumerate(rest, 2):
        shape = _spread(m, last, other)
        if shape is not None and OPEN in shape:
            return None
        part = y if k == len(m.root.inputs) and not mean else m.add_value(f"{y}.of_{k}", TensorType(DType.F32, shape))
        nodes.append(Node(name, (last, other), (part,), {}, label if part == y else f"{label}.of_{k}"))
        last = part
    if mean and rest:
        count = m.add_constant(f"{y}.count", np.array(len(m.root.inputs), np.float32))
        nodes.append(Node("Div", (last, count), (y,), {}, label))
    return tuple(nodes) or last


def _spread(m: Match, *values: str) -> tuple[int | str, ...] | None:
    """The shape of two values together; None where the rank of one is not known."""
    shapes = [m.types[v].shape if v in m.types else m.graph.types[v].shape for v in values]
    return None if None in shapes else broadcast_shapes([s for s in shapes if s is not None])


def _as(name: str, variadic: str) -> Rewrite:
    return Rewrite(variadic.lower(), op(variadic), partial(_chained, name))


chain_variadic = Rewrites("chain_variadic", _as("Max", "Max"), _as("Min", "Min"), _as("Add", "Sum"), _as("Add", "Mean"))
