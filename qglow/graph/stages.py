"""A graph cut where a shape depends on data: what is typed, the nodes to compute next, one by one, and the graph of
what follows.

1. `first` has the nodes whose shapes are known: one static graph, whose outputs are what the rest and the caller read.
2. `host` has the nodes behind it whose output's shape is known only when they are computed. `Onnx` nodes that follow
   them are there too: they have no kernels in any graph.
3. `rest` has all other nodes. Its inputs are values that are known by then; with their shapes it is cut in the same
   way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .dead import remove_dead
from .graph import Graph, Node
from .infer import Typed


class Stage(NamedTuple):
    """One cut of a graph. whole: the typed graph, with its constants. rest: None where nothing follows."""

    whole: Graph
    first: Graph
    host: tuple[Node, ...] = ()
    rest: Graph | None = None

    @property
    def is_static(self) -> bool:
        return not self.host and self.rest is None


def cut(typed: Typed) -> Stage:
    """The stage of a graph that is typed as far as shapes go. Where all of it is, `first` is the graph as it is."""
    whole = remove_dead(typed.graph)
    made = {o for n in whole.nodes if typed.known.issuperset(filter(None, n.outputs)) for o in n.outputs}
    first = [n for n in whole.nodes if made.issuperset(n.outputs)]
    if len(first) == len(whole.nodes):
        return Stage(whole, whole)
    ready = {"", *made, *whole.inputs, *whole.constants}
    host: list[Node] = []
    later: list[Node] = []
    hosted: set[str] = set()
    for node in whole.nodes:
        if made.issuperset(node.outputs):
            continue
        if ready.issuperset(node.inputs) or (node.op == "Onnx" and (ready | hosted).issuperset(node.inputs)):
            host.append(node)
            hosted.update(node.outputs)
        else:
            later.append(node)
    read = {*whole.outputs, *(i for n in (*host, *later) for i in n.inputs)}
    outputs = [o for n in first for o in n.outputs if o and o in read]
    inputs = set(whole.inputs) & {i for n in first for i in n.inputs}
    types = {**whole.types, **{o: whole.types[o]._replace(shape=None) for o in hosted if o}}
    rest = _part(
        whole.with_(types=types),
        later,
        _inputs_of(later, whole),
        [o for n in later for o in n.outputs if o in whole.outputs],
    )
    return Stage(
        whole,
        _part(whole, first, [i for i in whole.inputs if i in inputs], outputs),
        tuple(host),
        rest if later else None,
    )


def _inputs_of(nodes: list[Node], whole: Graph) -> list[str]:
    """Values that the nodes read and do not make, constants left out, each once, in order."""
    made = {o for n in nodes for o in n.outputs}
    return list(dict.fromkeys(i for n in nodes for i in n.inputs if i and i not in made and i not in whole.constants))


def _part(whole: Graph, nodes: list[Node], inputs: Iterable[str], outputs: Iterable[str]) -> Graph:
    """A graph of some of the nodes of another."""
    ins, outs = tuple(inputs), tuple(outputs)
    used = {*ins, *outs, *(v for n in nodes for v in (*n.inputs, *n.outputs))} - {""}
    types = {v: t for v, t in whole.types.items() if v in used}
    return Graph(whole.name, ins, outs, tuple(nodes), types, {v: c for v, c in whole.constants.items() if v in used})
