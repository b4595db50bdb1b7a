"""Branches in a quantized graph: what calibration saw of them is quantized, and every other input runs right all the same.

1. A Select whose sides have one rank stays; the nodes of a side that calibration did not reach have no ranges, and stay float.
2. A Select whose sides differ in rank would leave the rank of all that follows unknown. Where calibration saw it taken in one way alone,
   that way is assumed: the graph of that way is simplified and quantized as a whole. Beside it stands the float graph, and a Select an
   output by the condition, which is computed as the model computes it: inputs that do otherwise than calibration run in float.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Array, Graph, GraphBuilder, Node
from ..graph.dead import remove_dead
from ..graph.select_op import SELECT, truth
from ..ops.traits import SHAPE_ONLY
from ..profiling import Dataset
from ..reference import evaluate
from ..simplify import simplify
from ..simplify.fold_select import assume
from .convert import Decision, QuantResult

Choices = Mapping[str, tuple[int, int]]  # how often a condition was false, and true


@dataclass(frozen=True, slots=True)
class Taken:
    """The graph of the branches that calibration took, and the conditions, in order, on which it is the whole graph."""

    graph: Graph
    assumed: Mapping[str, bool]

    def fitting(self, whole: Graph, data: Dataset | None) -> Dataset | None:
        """The samples that go this way; None where there are none. A stream is left as it is. whole: what `graph` is a part of."""
        if data is None or not self.assumed or not data.sources:
            return data
        asked = {c: remove_dead(whole.with_(outputs=(c,))) for c in self.assumed}
        pairs = zip(data.sources, data, strict=True)
        sources = tuple(source for source, sample in pairs if self._holds(asked, sample.feeds))
        return Dataset(sources, data.types) if sources else None

    def _holds(self, asked: Mapping[str, Graph], feeds: Mapping[str, Array]) -> bool:
        """One condition after another: where one does not hold, the next may not have a value."""
        return all(truth(evaluate(asked[c], feeds)[c]) == way for c, way in self.assumed.items())


def taken(graph: Graph, choices: Choices) -> Taken:
    """Rule 2 for a simplified float graph. choices: of its conditions."""
    assumed: dict[str, bool] = {}
    decided = graph
    while (found := _first_ambiguous(decided, choices, assumed)) is not None:
        assumed[found] = choices[found][1] > 0
        decided = simplify(assume(graph, assumed))
    return Taken(decided, assumed)


def _first_ambiguous(graph: Graph, choices: Choices, assumed: Mapping[str, bool]) -> str | None:
    """The first condition that was seen in one way alone, of a Select whose rank is not known."""
    for node in graph.nodes:
        if node.op == SELECT and graph.types[node.outputs[0]].shape is None:
            falses, trues = choices.get(node.inputs[0], (0, 0))
            if node.inputs[0] not in assumed and (falses > 0) != (trues > 0):
                return node.inputs[0]
    return None


def completed(result: QuantResult, graph: Graph, way: Taken) -> QuantResult:
    """The result for all inputs: what was quantized is `way.graph`, `graph` the float graph that it is a part of."""
    if not way.assumed:
        return result
    known, left = {d.node for d in result.decisions}, {n.name for n in way.graph.nodes}
    others = [
        Decision(n.name, n.operator, "float", "not reached in calibration")
        for n in graph.nodes
        if n.name not in known | left and n.op != SELECT and any(graph.types[o].kind.is_float for o in n.outputs if o)
        and not any(o in way.graph.types for o in n.outputs)
    ]  # fmt: skip
    return replace(result, graph=_guarded(result.graph, graph, way.assumed), decisions=(*result.decisions, *others))


def _guarded(quantized: Graph, graph: Graph, assumed: Mapping[str, bool]) -> Graph:
    """Both graphs, and the outputs by the conditions."""
    b = GraphBuilder(quantized)
    made = quantized.producers()
    new = {o: b.fresh(f"{o}.taken") for o in quantized.outputs if o in made}
    b.types |= {new[o]: quantized.types[o] for o in new}
    for node in quantized.nodes:
        b.append(node.with_(inputs=tuple(new.get(i, i) for i in node.inputs), outputs=tuple(new.get(o, o) for o in node.outputs)))
    other = _copied(b, quantized, graph, new)
    for o in new:
        value = new[o]
        for k, (condition, way) in reversed(list(enumerate(assumed.items()))):
            sides = (value, other[o]) if way else (other[o], value)
            value = o if not k else b.fresh(f"{o}.taken")
            b.types[value] = graph.types[o]
            b.append(Node(SELECT, (other[condition], *sides), (value,), {}, b.fresh(f"{value}:{SELECT}")))
    whole = remove_dead(b.build(quantized.name, quantized.inputs, quantized.outputs))
    beside = {c: a for c, a in quantized.constants.items() if c.endswith(".factors")}  # NOTE: no node reads them
    types = {**whole.types, **{c: quantized.types[c] for c in beside}}
    return whole.with_(constants={**whole.constants, **beside}, types=types)


def _copied(b: GraphBuilder, quantized: Graph, graph: Graph, new: Mapping[str, str]) -> dict[str, str]:
    """Add the nodes of `graph` under names of their own; names by those in `graph`.

    What the conditions take of a value's shape alone they take of the quantized value where it has one, and no branch lies before it.
    """
    name = {i: i for i in graph.inputs}
    for c, array in graph.constants.items():
        same = quantized.constants.get(c)
        shared = same is not None and same.dtype == array.dtype and np.array_equal(same, array)
        name[c] = c if shared and quantized.types[c] == graph.types[c] else b.add_constant(f"{c}.other", array, graph.types[c])
    made = {o for n in quantized.nodes for o in n.outputs}
    behind: set[str] = set()
    for node in graph.nodes:
        if node.op == SELECT or behind & set(node.inputs):
            behind |= set(node.outputs)
        inputs: Sequence[str] = [name[i] if i else "" for i in node.inputs]
        if node.has(SHAPE_ONLY) and node.inputs[0] not in behind:
            inputs = [next((new.get(v, v) for v in (node.inputs[0], f"{node.inputs[0]}.q") if v in made), inputs[0])]
        for o in filter(None, node.outputs):
            name[o] = b.fresh(f"{o}.other")
            b.types[name[o]] = graph.types[o]
        outputs = tuple(name[o] if o else "" for o in node.outputs)
        b.append(node.with_(inputs=tuple(inputs), outputs=outputs, name=b.fresh(f"{node.name}.other")))
    return name
