"""What of a graph moves with a length: the values whose shapes, or whose constants, follow from dimensions of the
inputs that grow together, as those of a cache do.

Nodes that do the same to values of the same types are one class: of the layers of a network one stands for all. So the
types of a whole graph at one more length are those of few nodes, found by the rules that type any graph.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from ..record import NamedTuple
from .graph import Array, Graph, Node
from .infer import Typed
from .types import TensorType

SMALL = 4096  # bytes of a constant up to which an equal one is the same
Retype = Callable[[Graph, Mapping[str, tuple[int, ...]]], Typed]


class NotAffine(Exception):
    """Something moves otherwise than in proportion to the length."""


def slope_of(lengths: Sequence[int], values: Sequence[int]) -> int:
    """By how much a number grows with the length by 1. Raises NotAffine unless it does so all the way."""
    step, rest = divmod(values[-1] - values[0], lengths[-1] - lengths[0])
    if rest or any(v != values[0] + step * (n - lengths[0]) for n, v in zip(lengths, values, strict=True)):
        raise NotAffine
    return step


class Line(NamedTuple):
    """Numbers that are `last` at the last length of some, and grow by `slopes` with each."""

    last: tuple[int, ...]
    slopes: tuple[int, ...]

    @staticmethod
    def through(lengths: Sequence[int], points: Sequence[tuple[int, ...]]) -> Line:
        """Raises NotAffine where there is none."""
        if any(len(p) != len(points[0]) for p in points):
            raise NotAffine
        return Line(points[-1], tuple([slope_of(lengths, v) for v in zip(*points, strict=True)]))

    @property
    def moves(self) -> bool:
        return any(self.slopes)

    def at(self, more: int) -> tuple[int, ...]:
        """The numbers at a length so much larger than the last."""
        return tuple([v + s * more for v, s in zip(self.last, self.slopes, strict=True)])


class Moving:
    """The classes of a graph's nodes that read what moves. graph: one node of each class, its outputs all that these
    make; of: the value that stands for a moving one."""

    def __init__(self, graph: Graph, typed: Sequence[Graph], lengths: Sequence[int]) -> None:
        """typed: the graph at each of the lengths. Raises NotAffine where their types are not affine."""
        self.lengths, self.full_graph, self._typed = lengths, graph, typed
        self.of: dict[str, str] = {}
        self._inputs: dict[str, TensorType] = {}  # of the small graph, with the types at the last length
        self._known: dict[Hashable, str] = {}
        self._constants: dict[str, Array] = {}
        self._classes: dict[Hashable, tuple[str, ...]] = {}  # the outputs of the first node of each
        self._nodes: list[Node] = []
        self._shapes: dict[str, tuple[Line, bool]] = {}  # by output: its shape, and whether it is folded
        self._left = {o for n in typed[-1].nodes for o in n.outputs if o}
        for name in graph.inputs:
            line = self._line(name)
            if line.moves:
                t = typed[-1].types[name]
                self.of[name] = self._known.setdefault((t.dtype, t.quant, line), name)
                if self.of[name] == name:
                    self._inputs[name] = graph.types[name]
        for node in graph.nodes:
            if any(i in self.of for i in node.inputs) or not self._left.issuperset(filter(None, node.outputs)):
                self._node(node)
        names = [o for n in self._nodes for o in n.outputs if o]
        types = {o: graph.types[o] for o in names} | self._inputs
        types |= {c: TensorType(graph.types[c].dtype, a.shape, graph.types[c].quant) if c in graph.types
                  else typed[-1].types[c] for c, a in self._constants.items()}  # fmt: skip
        self.graph = Graph(graph.name, tuple(self._inputs), tuple(names), tuple(self._nodes), types, self._constants)

    def _line(self, value: str) -> Line:
        return Line.through(self.lengths, [t.types[value].static_shape for t in self._typed])

    def _node(self, node: Node) -> None:
        types = [self.full_graph.types[o] if o else None for o in node.outputs]
        kept = tuple([t and (t.dtype, t.quant) for t in types])
        key = node.op, tuple([self._key(i) for i in node.inputs]), _hashable(dict(node.attributes)), kept
        outputs = [o for o in node.outputs if o]
        stands = self._classes.setdefault(key, node.outputs)
        if stands is node.outputs:
            self._nodes.append(node.with_(inputs=tuple([self._stand_in(i) for i in node.inputs])))
            for o in outputs:
                self._shapes[o] = self._line(o), o not in self._left
        for o, first in zip(node.outputs, stands, strict=True):
            if o and (self._shapes[first][0].moves or self._shapes[first][1]):
                self.of[o] = first

    def _key(self, value: str) -> Hashable:
        """What a node may see of a value."""
        if not value or value in self.of:
            return self.of.get(value, "")
        array = self._constant(value)
        if array is None:
            return self._typed[-1].types[value]
        if array.nbytes > SMALL or array.dtype.kind == "O":
            return id(array)
        return array.dtype.str, array.shape, array.tobytes(), self._typed[-1].types[value].quant

    def _constant(self, value: str) -> Array | None:
        found = self._typed[-1].constants.get(value)
        return self.full_graph.constants.get(value) if found is None else found

    def _stand_in(self, value: str) -> str:
        """The name in the small graph."""
        if not value or value in self.of:
            return self.of.get(value, "")
        array = self._constant(value)
        if array is not None:
            self._constants[value] = array
            return value
        t = self._typed[-1].types[value]
        name = self._known.setdefault(("any", t), value)
        self._inputs[name] = t
        return name

    def at(self, shapes: Mapping[str, tuple[int, ...]], length: int, retype: Retype) -> dict[str, Array]:
        """What is folded at a length, by the names of the small graph. Raises NotAffine where a type is not what it is
        expected to be, or something else is folded."""
        typed = retype(self.graph, {n: shapes.get(n) or self._inputs[n].static_shape for n in self._inputs})
        constants, types, more = typed.graph.constants, typed.graph.types, length - self.lengths[-1]
        for name, (line, folded) in self._shapes.items():
            if name not in typed.known or (name in constants) != folded or types[name].shape != line.at(more):
                raise NotAffine
            if types[name].dtype is not self._typed[-1].types[name].dtype:
                raise NotAffine
        return {name: constants[name] for name, (_, folded) in self._shapes.items() if folded}


def _hashable(value: object) -> Hashable:
    """Something equal for equal attributes."""
    if isinstance(value, dict):
        return tuple([(k, _hashable(v)) for k, v in sorted(value.items())])
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return type(value), value if isinstance(value, Hashable) else id(value)
