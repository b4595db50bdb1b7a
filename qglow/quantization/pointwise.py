"""Groups of element-wise nodes that are one function of one tensor: each becomes a single table lookup.

1. A node is pointwise where its op is element-wise and all but one of its inputs are constants, or functions of the
   same root.
2. A constant may be a scalar or vary along one axis; then the table has a row for each index of that axis.
3. A value that a node outside of the group reads becomes the root of what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..graph import Array, Graph, Node
from ..ops.traits import CLAMP, FUSIBLE
from ..reference import FLOAT
from .remembered import digest

BLOCK = 1 << 15  # elements that are computed at once: what lies between stays in a cache


@dataclass(frozen=True, slots=True)
class Function:
    """The value `output` as a function of the value `root`: nodes in order; axis of the per-channel constants or None.

    d_in, d_out: factors of the channels of root and output (channel_equalization.py) [size] or [1]: the table holds f(x
    d_in) / d_out.
    """

    root: str
    output: str
    nodes: tuple[Node, ...]
    axis: int | None
    size: int
    d_in: Array | None = None
    d_out: Array | None = None

    @property
    def is_clamp(self) -> bool:
        """Whether the function only clamps: such a function is the limits of its producer's output."""
        return all(n.has(CLAMP) for n in self.nodes)

    def describe(self) -> str:
        return " ".join(n.op for n in self.nodes)

    def table(self, graph: Graph, reals: Array) -> Array:
        """The function of float64 reals [n]: float64 [n], or [size, n] where constants vary along the axis."""
        count = max(1, BLOCK // (1 if self.axis is None else self.size))
        parts = [self._part(graph, reals[k : k + count]) for k in range(0, max(1, len(reals)), count)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def _part(self, graph: Graph, reals: Array) -> Array:
        x = reals if self.axis is None else np.broadcast_to(reals, (self.size, reals.size))
        values: dict[str, Array] = {self.root: x if self.d_in is None else x * self._by_row(self.d_in)}
        for node in self.nodes:
            inputs = [None if not i else values[i] if i in values else self._constant(graph, i) for i in node.inputs]
            with np.errstate(all="ignore"):
                values[node.outputs[0]] = np.asarray(FLOAT[node.op](node, inputs)[0], np.float64)
        return values[self.output] if self.d_out is None else values[self.output] / self._by_row(self.d_out)

    def digest(self, graph: Graph) -> bytes:
        """Of all that `table` depends on."""
        nodes = [(n.op, n.inputs, n.outputs, sorted(n.attributes.items())) for n in self.nodes]
        constants = [graph.constants[i] for n in self.nodes for i in n.inputs if i in graph.constants]
        return digest(self.root, self.output, nodes, self.axis, self.size, self.d_in, self.d_out, *constants)

    def _by_row(self, factors: Array) -> Array:
        """Factors as they multiply reals, or rows of them where the table has a row a channel."""
        return factors.reshape(()) if self.axis is None else factors.reshape(-1, 1)

    def _constant(self, graph: Graph, name: str) -> Array:
        c = graph.constants[name].astype(np.float64)
        return c.reshape(()) if c.size == 1 else c.reshape(self.size, 1)

    def clamp_bounds(self, graph: Graph) -> tuple[float, float]:
        """The interval that a clamp lets through."""
        low, high = -np.inf, np.inf
        for n in self.nodes:
            bounds = [graph.constants[i] if i else None for i in n.inputs[1:]] if n.op == "Clip" else [np.zeros(1)]
            lower, upper = [*bounds, None, None][:2]
            least = -np.inf if lower is None else float(lower.ravel()[0])
            most = np.inf if upper is None else float(upper.ravel()[0])
            # NOTE: the upper bound wins, where bounds are the wrong way round
            low, high = (min(max(v, least), most) for v in (low, high))
        return low, high


def find_functions(
    graph: Graph, blocked: Mapping[str, str], roots: frozenset[str] = frozenset()
) -> dict[str, Function]:
    """The function of each output value that is one. Nodes named in `blocked` (kept float) take part in none; no
    function goes back beyond a value of `roots`.
    """
    consumers, outputs = graph.consumers(), set(graph.outputs)
    found: dict[str, Function] = {}
    within: dict[str, Function] = {}
    for node in graph.nodes:
        if node.name in blocked or len(node.outputs) != 1 or not graph.types[node.outputs[0]].dtype.is_float:
            continue
        dynamic = list(dict.fromkeys(i for i in node.inputs if i and i not in graph.constants))
        if not dynamic or not node.has(FUSIBLE):
            continue
        root = _common_root(within, dynamic, consumers, outputs)
        if root is None or not graph.types[root].dtype.is_float:
            continue
        nodes: dict[str, Node] = {}
        for d in dynamic:
            if d != root:
                nodes |= {n.name: n for n in found[d].nodes}
        nodes[node.name] = node
        axis = _constant_axis(graph, root, tuple(nodes.values()))
        if axis is not None:
            found[node.outputs[0]] = Function(root, node.outputs[0], tuple(nodes.values()), *axis)
            if node.outputs[0] not in roots:
                within[node.outputs[0]] = found[node.outputs[0]]
    return found


def _common_root(
    found: Mapping[str, Function], dynamic: list[str], consumers: Mapping[str, list[Node]], outputs: set[str]
) -> str | None:
    if len(dynamic) == 1:
        d = dynamic[0]
        internal = d in found and d not in outputs and len({n.name for n in consumers[d]}) == 1
        return found[d].root if internal else d
    roots = [{d} | ({found[d].root} if d in found else set()) for d in dynamic]
    common = set.intersection(*roots)
    return min(common, key=lambda r: (r not in dynamic, r)) if common else None


def _constant_axis(graph: Graph, root: str, nodes: tuple[Node, ...]) -> tuple[int | None, int] | None:
    """(axis, size) along which constants vary, (None, 1) where all are scalars, None where they do not fit this
    form."""
    shape = graph.types[root].shape
    axis, size = None, 1
    for node in nodes:
        for name in node.inputs:
            c = graph.constants.get(name)
            if c is None or c.size == 1:
                if c is not None and (shape is None or c.ndim > len(shape)):
                    return None
                continue
            if shape is None or c.ndim > len(shape):
                return None
            own = [k + len(shape) - c.ndim for k, d in enumerate(c.shape) if d != 1]
            if len(own) != 1 or shape[own[0]] != c.size or axis not in (None, own[0]):
                return None
            axis, size = own[0], c.size
    return axis, size
