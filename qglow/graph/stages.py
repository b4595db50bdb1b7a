"""A graph cut where a shape depends on data: what is typed, the nodes to compute next, one by one, and the graph of
what follows.

1. `first` has the nodes whose shapes are known: one static graph, whose outputs are what the rest and the caller read.
2. `host` has the nodes behind it whose output's shape is known only when they are computed. `Onnx` nodes that follow
   them are there too: they have no kernels in any graph.
3. `rest` has all other nodes. Its inputs are values that are known by then; with their shapes it is cut in the same
   way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..record import NamedTuple
from .dead import remove_dead
from .graph import Graph, Node
from .infer import Typed
from .select_op import SELECT
from .types import DType, TensorType

SUPPRESSION, BOUNDED, FIRST = "NonMaxSuppression", "BoundedSuppression", "FirstRows"


class Stage(NamedTuple):
    """One cut of a graph. full_graph: the typed one, with its constants. rest: None where nothing follows."""

    full_graph: Graph
    first: Graph
    host: tuple[Node, ...] = ()
    rest: Graph | None = None

    @property
    def is_static(self) -> bool:
        return not self.host and self.rest is None


def cut(typed: Typed) -> Stage:
    """The stage of a graph that is typed as far as shapes go. Where all of it is, `first` is the graph as it is."""
    full_graph = remove_dead(typed.graph)
    made = {o for n in full_graph.nodes if typed.known.issuperset(filter(None, n.outputs)) for o in n.outputs}
    first = [n for n in full_graph.nodes if made.issuperset(n.outputs)]
    if len(first) == len(full_graph.nodes):
        return Stage(full_graph, full_graph)
    ready = {"", *made, *full_graph.inputs, *full_graph.constants}
    host: list[Node] = []
    later: list[Node] = []
    hosted: set[str] = set()
    for node in full_graph.nodes:
        if made.issuperset(node.outputs):
            continue
        if ready.issuperset(node.inputs) or (node.op == "Onnx" and (ready | hosted).issuperset(node.inputs)):
            host.append(node)
            hosted.update(node.outputs)
        else:
            later.append(node)
    read = {*full_graph.outputs, *(i for n in (*host, *later) for i in n.inputs)}
    outputs = [o for n in first for o in n.outputs if o and o in read]
    inputs = set(full_graph.inputs) & {i for n in first for i in n.inputs}
    types = {**full_graph.types, **{o: full_graph.types[o]._replace(shape=None) for o in hosted if o}}
    rest = _part(
        full_graph.with_(types=types),
        later,
        _inputs_of(later, full_graph),
        [o for n in later for o in n.outputs if o in full_graph.outputs],
    )
    return Stage(
        full_graph,
        _part(full_graph, first, [i for i in full_graph.inputs if i in inputs], outputs),
        tuple(host),
        rest if later else None,
    )


def split(graph: Graph, names: Iterable[str]) -> tuple[Graph, Graph]:
    """A graph in two: the nodes that make `names`, which need no others, and the rest.

    The first graph's outputs are what the second and the caller read of it; they are inputs of the second.
    """
    made = set(names)
    first = [n for n in graph.nodes if made.intersection(n.outputs)]
    later = [n for n in graph.nodes if not made.intersection(n.outputs)]
    read = {*graph.outputs, *(i for n in later for i in n.inputs)}
    outputs = [o for n in first for o in n.outputs if o and o in read]
    own = {o for n in later for o in n.outputs}
    return (
        _part(graph, first, _inputs_of(first, graph), outputs),
        _part(graph, later, _inputs_of(later, graph), [o for o in graph.outputs if o in own]),
    )


def before(graph: Graph, is_late: Callable[[Node], bool]) -> set[str]:
    """The values that are made without any node that is late."""
    late: set[str] = set()
    for node in graph.nodes:
        if is_late(node) or not late.isdisjoint(node.inputs):
            late.update(filter(None, node.outputs))
    return {o for n in graph.nodes for o in n.outputs if o} - late


def needed_always(graph: Graph, name: str) -> set[str]:
    """The values that are computed to have one, whichever side its conditions choose."""
    producers, found, stack = graph.producers(), set[str](), [name]
    while stack:
        node = producers.get(stack.pop())
        if node is not None and found.isdisjoint(node.outputs):
            found.update(filter(None, node.outputs))
            stack += node.inputs[:1] if node.op == SELECT else node.inputs
    return found


def _inputs_of(nodes: list[Node], full_graph: Graph) -> list[str]:
    """Values that the nodes read and do not make, constants left out, each once, in order."""
    made = {o for n in nodes for o in n.outputs}
    left_out = {"", *made, *full_graph.constants}
    return list(dict.fromkeys(i for n in nodes for i in n.inputs if i not in left_out))


def _part(full_graph: Graph, nodes: list[Node], inputs: Iterable[str], outputs: Iterable[str]) -> Graph:
    """A graph of some of the nodes of another."""
    ins, outs = tuple(inputs), tuple(outputs)
    used = {*ins, *outs, *(v for n in nodes for v in (*n.inputs, *n.outputs))} - {""}
    types = {v: t for v, t in full_graph.types.items() if v in used}
    constants = {v: c for v, c in full_graph.constants.items() if v in used}
    return Graph(full_graph.name, ins, outs, tuple(nodes), types, constants)


def with_bounds(graph: Graph) -> Graph:
    """The graph with each suppression of constant limits as one of a shape that is known, which may have a kernel."""
    if all(n.op != SUPPRESSION for n in graph.nodes):
        return graph
    nodes: list[Node] = []
    types = dict(graph.types)
    for node in graph.nodes:
        limits = node.inputs[2:]
        if node.op != SUPPRESSION or not limits or not all(v and v in graph.constants for v in limits[:1]):
            nodes.append(node)
            continue
        (y,) = node.outputs
        rows, count = f"{y}.rows", f"{y}.count"
        if rows in types or count in types:
            nodes.append(node)
            continue
        types |= {rows: TensorType(DType.I64, None), count: TensorType(DType.I64, (1,))}
        nodes.append(node.with_(op=BOUNDED, outputs=(rows, count)))
        nodes.append(Node(FIRST, (rows, count), (y,), {}, node.name))
    return graph.with_(nodes=tuple(nodes), types=types)
