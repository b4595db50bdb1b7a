"""Elementwise ops of a host step written straight into the arrays that they make: a step of a few elements takes a
microsecond so, of which the way through the law's tables takes eight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ..graph import Array, Graph, Node
from ..ops import OPS
from .evaluate import is_quantized
from .float_elementwise import divide
from .float_table import HALF, STRICT_FLOAT
from .lookup import function_of

_WHOLE = "iub"  # kinds of integers and truths


def bind_written(graph: Graph, node: Node, inputs: Sequence[Array | None], made: Array) -> Callable[[], object] | None:
    """What computes a node of these arrays, whose elements change, into `made`; None for an op whose meaning is no
    function of numpy's, or that has a law of its own for floats. The bits are those of `evaluate_node`."""
    row = OPS.get(node.op)
    given = [a for a in inputs if a is not None]
    if row is None or not given or len(given) != len(inputs) or is_quantized(graph, node) or made.dtype.kind == "O":
        return None
    if node.op == "Cast":
        return _bind_cast(node, given[0], made)
    floats = any(a.dtype.kind not in _WHOLE for a in given)
    if row.meaning is None or row.meaning.takes != "elements" or len(given) != len(row.operands):
        return None
    if (floats and node.op in STRICT_FLOAT) or any(a.dtype == HALF or a.dtype.kind == "O" for a in given):
        return None
    function = function_of(row.meaning)
    if not isinstance(function, np.ufunc) and (function is not divide or floats):
        return None
    example = np.asarray(function(*given))
    if example.dtype != made.dtype or example.shape != made.shape:
        return None
    if isinstance(function, np.ufunc):
        return partial(function, *given, out=made)
    return lambda: np.copyto(made, function(*given))


def _bind_cast(node: Node, x: Array, made: Array) -> Callable[[], object] | None:
    to = np.dtype(node.attr("to"))
    is_cut = x.dtype.kind == "f" and to.kind in "iu"
    if x.dtype.kind not in f"f{_WHOLE}" or is_cut or to != made.dtype or x.shape != made.shape:
        return None
    return partial(np.copyto, made, x, casting="unsafe")
