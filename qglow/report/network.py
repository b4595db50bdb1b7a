"""The quantized graph as a picture and a table of layers have it: its nodes, what each reads, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph
from ..graph.blocks import precision_of
from ..runtime.step_profile import StepTime
from .figures import GraphNode, LayerReport
from .stored import float_name


def network_of(graph: Graph) -> list[GraphNode]:
    """The nodes of a quantized graph in execution order. What nodes with branches capture is not among their inputs."""
    made = {o: k for k, n in enumerate(graph.nodes) for o in n.outputs if o}
    rows = []
    for node in graph.nodes:
        types = [graph.types[o] for o in node.outputs if o]
        stored = (
            "int16" if any(t.is_int16 for t in types) else "int8" if any(t.is_quantized for t in types) else "float"
        )
        name = next(filter(None, node.outputs), "")
        inputs = tuple(dict.fromkeys(made[i] for i in node.inputs if i in made))
        precision = precision_of(node, graph.types) or stored
        rows.append(GraphNode(node.name or name, node.operator, precision, float_name(name), inputs))
    return rows


def with_times(
    layers: Sequence[LayerReport], network: Sequence[GraphNode], steps: Sequence[StepTime]
) -> list[LayerReport]:
    """The layers with the time of the steps that help to make them; steps name the value or the node that they make."""
    by_node, spent = {n.name: n.layer for n in network}, dict[str, float]()
    known = {r.name for r in layers}
    for s in steps:
        name = float_name(s.name)
        name = name if name in known else by_node.get(name, name)
        spent[name] = spent.get(name, 0.0) + 1e6 * s.seconds
    return [r._replace(microseconds=round(spent[r.name], 3)) if r.name in spent else r for r in layers]
