"""Which values lie channels-last: those that a convolution, pool or resampling reads or writes, and what is connected to them.

1. Images [N, C, H, W] are connected through ops that work element by element, concatenate or cut; other ops choose for themselves.
2. Lines [N, C, W] are those that a window op itself reads or writes.
"""

from __future__ import annotations

from ..graph import Graph
from ..graph.classes import Classes

WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
_IMAGES = (*WINDOWS, "Resize", "DepthToSpace", "SpaceToDepth")
_MOVES = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand")
_APART = (*_MOVES, "MatMul", "Gemm", "Softmax", "LayerNormalization", "ReduceMean")


def channels_last_values(graph: Graph) -> set[str]:
    """Names of values that should lie channels-last."""
    connected = Classes[str]()
    wanted: set[str] = set()
    lines: set[str] = set()
    for node in graph.nodes:
        values = [v for v in (*node.inputs, *node.outputs) if v and v not in graph.constants]
        images = [v for v in values if graph.types[v].rank == 4]
        if node.op in _IMAGES:
            wanted.update(images)
            lines.update(v for v in values if graph.types[v].rank == 3 and node.op in WINDOWS)
        if node.op not in _APART:
            for v in images[1:]:
                connected.join(v, images[0])
    return lines | connected.beside(wanted)
