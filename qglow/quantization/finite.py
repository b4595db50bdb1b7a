"""Values that are not finite have no range: what reads or makes them stays float, but for masks on scores.

1. A value that held NaN or infinity in calibration is not quantized, unless it is a mask, or scores with that mask on
   them (masks.py).
2. Within a function of one tensor values may be infinite, as log(0) in exp(2 log(x)), where its table alone reads them.
3. Where IsNaN or IsInf asks for a value, it is computed as the model says, from the matrix products on.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import Graph, Node
from ..ops import OPS, quantized_form
from ..ops.traits import PRODUCT, RECURRENT
from ..profiling.observers import Observer
from .masks import masked_ranges
from .pointwise import Function

_ASKING = ("IsNaN", "IsInf")


def endless_values(graph: Graph, observed: Mapping[str, Observer], functions: Mapping[str, Function]) -> set[str]:
    """Values that stay float for rules 1 and 2, constants among them."""
    found = {v for v, o in observed.items() if not o.is_finite}
    found |= {v for v, c in graph.constants.items() if c.dtype == np.float32 and not np.isfinite(c).all()}
    if not found:
        return found
    masked = masked_ranges(graph, observed, lambda v: (observed[v].min, observed[v].max))
    consumers, outputs = graph.consumers(), set(graph.outputs)
    found -= {v for v in (*masked.scores, *masked.masks) if v not in observed or not observed[v].nans}
    return {v for v in found if v in outputs or not _is_within(v, functions, consumers)}


def _is_within(v: str, functions: Mapping[str, Function], consumers: Mapping[str, list[Node]]) -> bool:
    """Rule 2: whether all that reads a value goes on with the function that made it."""
    readers = [functions.get(r.outputs[0]) for r in consumers.get(v, [])]
    return v in functions and bool(readers) and all(f is not None and f.root == functions[v].root for f in readers)


def asked_if_finite(graph: Graph) -> list[str]:
    """Nodes that stay float for rule 3."""
    producers, found = graph.producers(), dict[str, None]()
    pending = [n.inputs[0] for n in graph.nodes if n.op in _ASKING]
    while pending:
        node = producers.get(pending.pop())
        if node is None or node.name in found:
            continue
        if not (node.has(PRODUCT) or (node.has(RECURRENT) and OPS[quantized_form(node.op)].integer)):
            found[node.name] = None
            pending += [i for i in node.inputs if i and graph.types[i].dtype.is_float]
    return list(found)
