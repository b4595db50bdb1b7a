"""The phases of a transposed convolution of a graph (reference/phases.py), and the border that they read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import Array, Graph, Node
from ..reference.float_conv import transposed_geometry
from ..reference.phases import Phase, phases
from .program import TensorView

Halo = tuple[int, int, int, int]


def transposed_phases(graph: Graph, node: Node) -> tuple[tuple[int, int], list[list[Phase]]]:
    """Strides and phases of both axes; a line is an image of one row."""
    size = graph.types[node.inputs[0]].static_shape[2:]
    kernel = graph.types[node.inputs[1]].static_shape[2:]
    begin, out = transposed_geometry(node, size, kernel)
    strides = tuple(node.attr("strides") or (1,) * len(size))
    dilations = tuple(node.attr("dilations") or (1,) * len(size))
    axes = list(zip(strides, kernel, begin, out, dilations, strict=True))
    if len(size) == 1:
        axes = [(1, 1, 0, 1, 1), *axes]
    return (axes[0][0], axes[1][0]), [phases(*axis) for axis in axes]


def phase_products(
    graph: Graph, node: Node, x: TensorView, y: TensorView, w: Array
) -> Iterator[tuple[TensorView, TensorView, Array]]:
    """The products that a transposed convolution of images consists of, one for each phase: from where it reads x, what
    it writes of y, and its weights [groups, OC, KH, KW, IC]. w: [IC, OC of a group, KH, KW]; a phase without taps has
    one that is zero. Taps are `tap_steps` apart.
    """
    (sh, sw), axes = transposed_phases(graph, node)
    groups, (channels, per, _, _) = int(node.attr("group")), w.shape
    for a in axes[0]:
        for b in axes[1]:
            taps = np.zeros((channels, per, max(1, len(a.taps)), max(1, len(b.taps))), w.dtype)
            if a.taps and b.taps:
                taps[:] = w[:, :, list(a.taps)][:, :, :, list(b.taps)]
            kernel = taps.reshape(groups, channels // groups, per, *taps.shape[2:]).transpose(0, 2, 3, 4, 1)
            corner = x._replace(start=x.start + a.first * x.strides[2] + b.first * x.strides[3])
            yield corner, y.part(2, a.phase, a.outputs, sh).part(3, b.phase, b.outputs, sw), kernel


def tap_steps(graph: Graph, node: Node) -> tuple[int, int]:
    """Input rows and columns from one tap of a phase to the next."""
    rows, columns = transposed_phases(graph, node)[1]
    return max(p.step for p in rows), max(p.step for p in columns)


def transposed_halo(graph: Graph, node: Node) -> Halo:
    """The border (top, left, bottom, right) that all phases read."""
    size = graph.types[node.inputs[0]].static_shape[2:]
    sizes = (1, *size) if len(size) == 1 else size
    borders = [[p.border(d) for p in axis] for d, axis in zip(sizes, transposed_phases(graph, node)[1], strict=True)]
    (top, bottom), (left, right) = ((max(b for b, _ in axis), max(e for _, e in axis)) for axis in borders)
    return top, left, bottom, right
