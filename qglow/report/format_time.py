"""How long a node takes in a number format, estimated from the sizes of its values alone: what is chosen by it is
chosen alike on every machine, as it would not be by a clock.

The prices are those of one core with AVX-512 VNNI (docs/benchmarks.md): what counts are the ratios of formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from ..graph import Array, Graph
from ..graph.blocks import Precision
from ..graph.infer import Undecided
from ..ops.traits import RECURRENT
from ..quantization.state import Decision
from ..reference import retype_known
from .agreement import evaluate_all
from .effort import terms

START = 1e-6  # seconds: of a node's call in any format


class Price(NamedTuple):
    """Seconds of a multiplication in a product, of one in a recurrent layer, and of an element of any other result."""

    product: float
    recurrent: float
    element: float


# NOTE: no recurrent layer has a form of 16 bits
INT8, INT16, FLOAT = Price(5e-12, 10e-12, 5e-11), Price(10e-12, 16e-12, 3e-10), Price(18e-12, 16e-12, 4e-10)
PRICES: Mapping[Precision, Price] = {"int8": INT8, "int16": INT16, "float": FLOAT}


def seconds_by_node(graph: Graph, known: Mapping[str, Array], price: Price) -> dict[str, float]:
    """Estimated seconds of every node of a float graph in one format. known: all of the graph's values, by name."""
    found, values = {}, {**graph.constants, **known}
    for node in graph.nodes:
        elements, products = sum(values[o].size for o in node.outputs if o in values), terms(node, values)
        each = price.recurrent if node.has(RECURRENT) else price.product
        found[node.name] = START + elements * (products * each if products else price.element)
    return found


def sizes(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """All values of a float graph on these inputs, of which only shapes are to be read: where these follow from the
    inputs' shapes, nothing is computed."""
    try:
        types = retype_known(graph, {i: feeds[i].shape for i in graph.inputs}, {}).graph.types
    except Undecided:  # NOTE: which side of a branch is taken follows from data
        return evaluate_all(graph, feeds)
    made = [o for n in graph.nodes for o in n.outputs if o]
    if all(o in types and types[o].is_static for o in made):
        return {o: np.broadcast_to(np.float32(0), types[o].static_shape) for o in (*graph.inputs, *made)}
    return evaluate_all(graph, feeds)


def seconds_of_decisions(decisions: Iterable[Decision], times: Mapping[Precision, Mapping[str, float]]) -> float:
    """Of a whole graph as it was quantized. times: by precision and node. What is folded into another node is free."""
    return sum(times[d.precision].get(d.node, 0.0) for d in decisions if d.precision in times)
