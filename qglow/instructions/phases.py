"""A transposed convolution as ordinary ones: the outputs of one phase (o mod stride) read whole input pixels with every stride-th tap.

o = stride t + phase is reached from i by tap k where i = (o + begin - k) / stride, so that k = k0 + stride j with k0 = (phase + begin) mod
stride, and i = t + (phase + begin - k0) / stride - j: a convolution of stride 1 over t with the taps in reverse.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import Graph, Node
from ..reference.float_conv import transposed_geometry

Halo = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Phase:
    """One axis: outputs phase, phase + stride, ... (`count` of them) read taps (in order) from input index `first` on."""

    phase: int
    count: int
    first: int
    taps: tuple[int, ...]

    def border(self, size: int) -> tuple[int, int]:
        """Indices read before 0 and beyond `size`."""
        return max(0, -self.first), max(0, self.count - 1 + self.first + max(1, len(self.taps)) - size)


def phases(stride: int, kernel: int, begin: int, out: int) -> list[Phase]:
    """The phases of one axis that have outputs. One without taps gives the bias alone."""
    found = []
    for phase in range(min(stride, out)):
        k0 = (phase + begin) % stride
        taps = tuple(reversed(range(k0, kernel, stride)))
        first = (phase + begin - k0) // stride - (len(taps) - 1) if taps else 0
        found.append(Phase(phase, -(-(out - phase) // stride), first, taps))
    return found


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
