"""The phases of a transposed convolution of a graph (reference/phases.py), and the border that they read."""

from __future__ import annotations

from ..graph import Graph, Node
from ..reference.float_conv import transposed_geometry
from ..reference.phases import Phase, phases

Halo = tuple[int, int, int, int]


def transposed_phases(graph: Graph, node: Node) -> tuple[tuple[int, int], list[list[Phase]]]:
    """Strides and phases of both axes; a line is an image of one row."""
    size = graph.types[node.inputs[0]].static_shape[2:]
    kernel = graph.types[node.inputs[1]].static_shape[2:]
    begin, out = transposed_geometry(node, size, kernel)
    strides = tuple(node.attr("strides") or (1,) * len(size))
    axes = list(zip(strides, kernel, begin, out, strict=True))
    if len(size) == 1:
        axes = [(1, 1, 0, 1), *axes]
    return (axes[0][0], axes[1][0]), [phases(*axis) for axis in axes]


def transposed_halo(graph: Graph, node: Node) -> Halo:
    """The border (top, left, bottom, right) that all phases read."""
    size = graph.types[node.inputs[0]].static_shape[2:]
    sizes = (1, *size) if len(size) == 1 else size
    borders = [[p.border(d) for p in axis] for d, axis in zip(sizes, transposed_phases(graph, node)[1], strict=True)]
    (top, bottom), (left, right) = ((max(b for b, _ in axis), max(e for _, e in axis)) for axis in borders)
    return top, left, bottom, right
