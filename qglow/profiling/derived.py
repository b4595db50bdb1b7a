"""Which tensors need no pass of their own, as what they hold is known from those that they are made of."""

from __future__ import annotations

from ..graph import Graph
from .observers import recurrent_inputs


def rectified(graph: Graph, names: list[str]) -> dict[str, str]:
    """A tensor of `names` -> its Relu, one of those that are in `names` too: both are seen in one pass."""
    known = _plain(graph, names)
    pairs = [(n.inputs[0], n.outputs[0]) for n in graph.nodes if n.op == "Relu"]
    return {x: y for x, y in pairs if x in known and y in known}


def put_together(graph: Graph, names: list[str]) -> dict[str, list[str]]:
    """A tensor of `names` -> those of `names`, channel behind channel, that it is made of, in the order of the graph:
    what is recorded of it follows from them. Its channels and theirs are known, and it is no output of the model, which
    is looked at itself."""
    known, found = _plain(graph, names), dict[str, list[str]]()
    for node in graph.nodes:
        if (
            node.op != "Concat"
            or node.outputs[0] in graph.outputs
            or not known.issuperset({*node.inputs, *node.outputs})
        ):
            continue
        shapes = [graph.types[i].shape for i in node.inputs]
        ranks = {len(s) for s in shapes if s is not None}
        if None in shapes or len(ranks) != 1 or int(node.attr("axis")) not in (1, 1 - min(ranks)):
            continue
        if all(isinstance(s[1], int) and s[1] > 0 for s in shapes if s is not None):
            found[node.outputs[0]] = list(node.inputs)
    return found


def _plain(graph: Graph, names: list[str]) -> set[str]:
    """Those whose channels are their second dimension, and which are no constants."""
    return set(names) - recurrent_inputs(graph) - set(graph.constants)
