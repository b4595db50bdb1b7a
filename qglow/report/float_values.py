"""Float values by name for layer-by-layer comparison: the oracle's where it has them, and what simplifying made anew
from these."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..graph import Array, Graph, Node
from ..graph.select_op import has_branches
from ..oracle import Oracle
from ..reference.evaluate import evaluate_node
from .agreement import evaluate_all


def float_values(oracle: Oracle, graph: Graph, feeds: Mapping[str, Array], names: Collection[str]) -> dict[str, Array]:
    """The named values of the simplified float graph; without those of branches that are not taken.

    The numpy reference computes what the oracle does not know, node by node from the oracle's values.
    """
    found = oracle.values(feeds, names)
    missing = {n for n in names if n not in found and n not in graph.constants}
    if missing and has_branches(graph):
        return {n: a for n, a in evaluate_all(graph, feeds).items() if n in names} | found
    for node in _needed(graph, missing, {*found, *graph.constants, *feeds}):
        inputs = [
            None if not i else found[i] if i in found else graph.constants.get(i, feeds.get(i)) for i in node.inputs
        ]
        made = zip(node.outputs, evaluate_node(graph, node, inputs, fast=True), strict=False)
        found |= {o: a for o, a in made if o and o not in found}
    return {n: a for n, a in found.items() if n in names}


def _needed(graph: Graph, missing: set[str], known: set[str]) -> list[Node]:
    """Nodes, in order, that make the missing values of the known ones."""
    wanted, nodes = set(missing), []
    for node in reversed(graph.nodes):
        if wanted & set(node.outputs):
            nodes.append(node)
            wanted |= {i for i in node.inputs if i and i not in known}
    return nodes[::-1]
