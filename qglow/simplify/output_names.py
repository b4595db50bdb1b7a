"""The value before an Identity at an output of the graph takes the output's name, and the Identity goes.

It is no rewrite: a value gets another name wherever it is read.
"""

from __future__ import annotations

from ..graph import Graph


def name_outputs(graph: Graph) -> Graph:
    new: dict[str, str] = {}
    made = {o for n in graph.nodes for o in n.outputs if o}
    for node in graph.nodes:
        x = node.inputs[0] if node.op == "Identity" else ""
        if x in made and x not in new and x not in graph.outputs and node.outputs[0] in graph.outputs:
            new[x] = node.outputs[0]
    nodes = [
        n.with_(inputs=tuple(new.get(i, i) for i in n.inputs), outputs=tuple(new.get(o, o) for o in n.outputs))
        for n in graph.nodes
        if not (n.op == "Identity" and new.get(n.inputs[0]) == n.outputs[0])
    ]
    types = {**graph.types, **{o: graph.types[x] for x, o in new.items() if graph.types[o].shape is None}}
    return graph.with_(nodes=tuple(nodes), types=types)
