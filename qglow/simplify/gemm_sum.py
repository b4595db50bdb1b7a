"""Gemm whose third operand has rows, [M, N] or [M, 1]: the sum stands behind the product, as an Add of beta times it.

A product takes as its bias one number, or one for each column.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..graph import Node
from ..graph.pattern import Match, op, value
from ..graph.rewrite import Replacement, Rewrite, Rewrites
from ..graph.type_rules import gemm_form


def _behind(m: Match) -> Replacement:
    (y,), c, beta, label = m.root.outputs, m["c"], gemm_form(m.root).beta, m.root.name
    shape, sums = m.type("c").shape, m.graph.types[y]
    scaled: tuple[Node, ...] = ()
    if shape is None or sums.rank != 2 or sums.dtype.numpy.kind != "f" or all(d == 1 for d in shape[:-1]):
        return None
    kept = {k: v for k, v in m.root.attributes.items() if k != "beta"}
    product = m.root.with_(inputs=m.root.inputs[:2], outputs=(m.add_value(f"{y}.product", sums),), attributes=kept)
    if beta != 1.0:
        factor = m.add_constant(f"{y}.beta", np.array(beta, sums.dtype.numpy))
        scaled = (Node("Mul", (c, factor), (m.add_value(f"{y}.scaled", m.type("c")),), {}, f"{label}.beta"),)
        c = f"{y}.scaled"
    return (product, *scaled, Node("Add", (f"{y}.product", c), (y,), {}, f"{label}.sum"))


_ANY = partial(value, constants=True)

split_gemm_sum = Rewrites("split_gemm_sum", Rewrite("sum", op("Gemm", _ANY("a"), _ANY("b"), _ANY("c")), _behind))
