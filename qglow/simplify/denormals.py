"""Denormal weights of float products are zeros: most CPUs take a hundred times as long for a product with one.

Rule (39) of docs/quantization.md: below 2^-126 a weight counts as 0, where the largest of its tensor is 2^-80 or more.
No weight changes by more than 2^-46 of the largest. A tensor of tiny weights alone is kept, and so is a constant that
another op reads.

It is no rewrite: it changes a constant, and looks at every node that reads it.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, Graph, Node

SMALLEST, LARGE = np.float32(2.0**-126), np.float32(2.0**-80)


def flush_denormal_weights(graph: Graph) -> Graph:
    read = {i for n in graph.nodes for k, i in enumerate(n.inputs) if not _is_weight(n, k)} | set(graph.outputs)
    weights = {
        i for n in graph.nodes for k, i in enumerate(n.inputs) if _is_weight(n, k) and i in graph.constants
    } - read
    flushed = {w: made for w in sorted(weights) if (made := _flushed(graph.constants[w])) is not None}
    return graph.with_(constants={**graph.constants, **flushed}) if flushed else graph


def _is_weight(node: Node, place: int) -> bool:
    operands = node.definition.operands
    return place < len(operands) and operands[place].weight


def _flushed(w: Array) -> Array | None:
    """The weights with zeros in place of denormals; None where there are none, or rule (39) leaves them."""
    if w.dtype != np.float32 or not w.size:
        return None
    size = np.abs(w)
    tiny = (size < SMALLEST) & (size > 0)
    return np.where(tiny, np.float32(0), w) if tiny.any() and size.max() >= LARGE else None
