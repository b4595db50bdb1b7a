"""The graph of the branches that calibration took, where a branch that it did not take would leave ranks unknown.

A Select whose sides differ in rank leaves the rank of all that follows unknown. Where calibration saw it taken in one
way alone, that way is assumed, and the graph is simplified anew. Inputs that go another way need the whole graph
(quantization/guard_branches.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from ..graph import Array, Graph
from ..graph.dead import remove_dead
from ..graph.select_op import SELECT, truth
from ..record import NamedTuple
from ..reference import evaluate
from . import simplify
from .fold_select import assume

Choices = Mapping[str, tuple[int, int]]  # how often a condition was false, and true


class AssumedBranches(NamedTuple):
    """graph: of the branches that were taken. assumed: the conditions, in order, on which it is the float graph
    `full_graph`."""

    full_graph: Graph
    graph: Graph
    assumed: Mapping[str, bool]

    def holds(self, feeds: Mapping[str, Array]) -> bool:
        """Whether inputs go this way. One condition after another: where one does not hold, the next may not have a
        value."""
        asked = ((remove_dead(self.full_graph.with_(outputs=(c,))), c, way) for c, way in self.assumed.items())
        return all(truth(evaluate(graph, feeds)[c]) == way for graph, c, way in asked)


def assume_branches(graph: Graph, choices: Choices) -> AssumedBranches:
    """The way that calibration took through a simplified float graph. choices: of its conditions."""
    assumed: dict[str, bool] = {}
    decided = graph
    while (found := _first_ambiguous(decided, choices, assumed)) is not None:
        assumed[found] = choices[found][1] > 0
        decided = simplify(assume(graph, assumed))
    return AssumedBranches(graph, decided, assumed)


def _first_ambiguous(graph: Graph, choices: Choices, assumed: Mapping[str, bool]) -> str | None:
    """The first condition that was seen in one way alone, of a Select whose rank is not known."""
    for node in graph.nodes:
        if node.op == SELECT and graph.types[node.outputs[0]].shape is None:
            falses, trues = choices.get(node.inputs[0], (0, 0))
            if node.inputs[0] not in assumed and (falses > 0) != (trues > 0):
                return node.inputs[0]
    return None
