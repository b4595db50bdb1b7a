"""A Clip of integers behind a QuantizeLinear, as exporters write ranges of fewer levels than their dtype has (0 to 127
of uint8): the same as a Clip of the reals before it, whose bounds are what the integers stand for."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Graph, GraphBuilder, Node


def with_real_clips(graph: Graph) -> Graph:
    """Where integers have one scale, and nothing but the Clip reads them."""
    producers, consumers, found = graph.producers(), graph.consumers(), {}
    for node in graph.nodes:
        made = producers.get(node.inputs[0]) if node.op == "Clip" else None
        if made is None or len(consumers[node.inputs[0]]) > 1 or node.inputs[0] in graph.outputs:
            continue
        if (bounds := _reals(graph, made, node)) is not None:
            found[node.name] = made, bounds
    gone, b = {made.name for made, _ in found.values()}, GraphBuilder(graph)
    for node in graph.nodes:
        if node.name in found:
            made, bounds = found[node.name]
            x = made.inputs[0]
            names = [b.add_constant(f"{x}.bound", a) if a is not None else "" for a in bounds]
            clipped = b.add("Clip", (x, *names), graph.types[x], f"{x}.clipped")
            b.append(made.with_(inputs=(clipped, *made.inputs[1:]), outputs=node.outputs, name=node.name))
        elif node.name not in gone:
            b.append(node)
    return b.build(graph.name, graph.inputs, graph.outputs) if found else graph


def _reals(graph: Graph, made: Node, clip: Node) -> list[Array | None] | None:
    """The bounds of a Clip of what a QuantizeLinear made, as reals; None where they are not known."""
    c = graph.constants
    if made.op != "QuantizeLinear" or any(i and i not in c for i in (*made.inputs[1:], *clip.inputs[1:])):
        return None
    scale, zero = c[made.inputs[1]], c[made.inputs[2]] if made.input(2) else np.zeros((), np.uint8)
    if scale.size != 1 or scale.dtype != np.float32 or zero.size != 1:
        return None
    z = int(zero.ravel()[0])
    given = [clip.input(k) for k in (1, 2)]
    return [np.asarray((int(c[i].ravel()[0]) - z) * scale.ravel()[0], np.float32) if i else None for i in given]
