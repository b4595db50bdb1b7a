"""Which values lie channels-last: those that a convolution, pool or resampling reads or writes, and what is connected to them.

1. Images [N, C, H, W] are connected through ops that work element by element, concatenate or cut; other ops choose for themselves.
2. Lines [N, C, W] are those that a window op itself reads or writes.
3. Float values lie channels-last where float window ops are among them: what comes in, or is only converted, stays as it is.
"""

from __future__ import annotations

from ..graph import DType, Graph
from ..graph.classes import Classes
from ..ops.traits import IMAGE, OWN_LAYOUT, WINDOW


def channels_last_floats(graph: Graph) -> set[str]:
    """Names of float values that should lie channels-last."""
    floats = {v for v, t in graph.types.items() if t.kind is DType.F32 and v not in graph.inputs}
    return _connected(graph, floats)


def channels_last_values(graph: Graph) -> set[str]:
    """Names of values that should lie channels-last, where they are quantized."""
    return _connected(graph, set(graph.types))


def _connected(graph: Graph, among: set[str]) -> set[str]:
    """Images and lines of window ops, and the images that are connected to them, among some values."""
    connected = Classes[str]()
    wanted: set[str] = set()
    lines: set[str] = set()
    for node in graph.nodes:
        values = [v for v in (*node.inputs, *node.outputs) if v in among and v not in graph.constants]
        images = [v for v in values if graph.types[v].rank == 4]
        if node.has(IMAGE):
            wanted.update(images)
            lines.update(v for v in values if graph.types[v].rank == 3 and node.has(WINDOW))
        if not node.has(OWN_LAYOUT):
            for v in images[1:]:
                connected.join(v, images[0])
    return lines | connected.beside(wanted)
