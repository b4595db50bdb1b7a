"""What of a graph moves with a length: the values whose shapes, or whose constants, follow from dimensions of the
inputs that grow together, as those of a cache do.

Nodes that do the same to values of the same types are one class: of the layers of a network one stands for all. So the
types of a whole graph at one more length are those of few nodes, found by the rules that type any graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..ops.traits import SHAPE_ONLY
from ..record import NamedTuple
from .epilogue import is_fused
from .graph import Array, Graph, Node
from .infer import Meaning, retype_known, stand_in
from .select_op import SELECT
from .types import TensorType

SMALL = 4096  # bytes of a constant up to which an equal one is the same


MULTIPLES = (4, 8, 16, 32, 64)  # to which sizes are filled up
MOST_SHIFTS = 3  # that are looked at, but for 0
MOST_LENGTHS = 1024  # among which those are that tell the bases apart


class NotAffine(Exception):
    """Something moves otherwise than in proportion to one of the bases."""


Slope = tuple[int, int]  # by how much a number grows with a basis by 1, and which of the bases it is


class Bases(NamedTuple):
    """What numbers of a program grow in proportion to: the length, more by one of `shifts`, of which the first is 0;
    that filled up to a multiple; and the first times any of these. lengths: those that are known, in ascending order.
    """

    lengths: tuple[int, ...]
    shifts: tuple[int, ...] = (0,)

    @staticmethod
    def of(typed: Sequence[Graph], lengths: Sequence[int]) -> Bases:
        """typed: a graph at each of the lengths, whose dimensions say by how much some are more than the length."""
        found: Counter[int] = Counter()
        for name, t in typed[-1].types.items():
            shapes = [each.types[name].shape for each in typed if name in each.types]
            if t.is_static and all(s is not None and len(s) == len(t.static_shape) for s in shapes):
                for dims in zip(*map(tuple, shapes), strict=True):  # type: ignore[arg-type]
                    less = {d - n if isinstance(d, int) else 0 for d, n in zip(dims, lengths, strict=True)}
                    found.update(less if len(less) == 1 else ())
        del found[0]
        return Bases(tuple(lengths), (0, *[v for v, _ in found.most_common(MOST_SHIFTS)]))

    def telling(self) -> tuple[int, ...]:
        """Those of `lengths` and some between, at which no two bases are in proportion that differ at any length."""
        between = np.arange(self.lengths[0], min(self.lengths[-1], self.lengths[0] + MOST_LENGTHS) + 1)
        ways = np.array(self.grown(between))
        ways = ways[ways[:, 0] != 0]
        a, b = np.triu_indices(len(ways), 1)
        differ = ways[a] * ways[b, :1] != ways[b] * ways[a, :1]  # [pairs, lengths]
        found, left = {*self.lengths}, differ.any(1)
        for n in self.lengths[1:-1]:
            left &= ~differ[:, between == n].any(1)
        while left.any():
            k = int(differ[left].sum(0).argmax())
            found.add(int(between[k]))
            left &= ~differ[:, k]
        return tuple(sorted(found))

    def at(self, length: Any) -> list[Any]:
        """The bases at a length."""
        made = []
        for n in [length + shift for shift in self.shifts]:
            filled = [n, *[-(-n // m) * m for m in MULTIPLES]]
            made += [*filled, *[n * v for v in filled]]
        return made

    def grown(self, length: Any) -> list[Any]:
        """What each is more than at the last length."""
        if type(length) is int:
            return _grown(self, length)
        return [a - b for a, b in zip(self.at(length), _last(self), strict=True)]

    def slope(self, values: Sequence[int]) -> Slope:
        """How a number grows that has these values. Raises NotAffine unless it does so all the way, and one way alone
        fits what is known."""
        return _slope(self, tuple([v - values[-1] for v in values]))


@lru_cache(256)
def _grown(bases: Bases, length: int) -> list[int]:
    return [a - b for a, b in zip(bases.at(length), _last(bases), strict=True)]


@lru_cache(64)
def _last(bases: Bases) -> list[int]:
    return bases.at(bases.lengths[-1])


@lru_cache(4096)
def _slope(bases: Bases, less: tuple[int, ...]) -> Slope:
    """less: the values less the last one."""
    found: list[Slope] = []
    for k, column in enumerate(zip(*map(bases.grown, bases.lengths), strict=True)):
        by, rest = divmod(less[0], column[0]) if column[0] else (0, 1)
        if not rest and all(by * c == v for c, v in zip(column, less, strict=True)):
            found.append((by, k))
    if not found:
        raise NotAffine
    if len(found) > 1 and found[0][0]:
        between = bases.grown(np.arange(bases.lengths[0], bases.lengths[-1] + 1))
        ways = [by * between[k] for by, k in found]
        if any((way != ways[0]).any() for way in ways):
            raise NotAffine
    return found[0]


class Line(NamedTuple):
    """Numbers that are `last` at the last length of some, and how each of them grows."""

    last: tuple[int, ...]
    slopes: tuple[Slope, ...]

    @staticmethod
    def through(bases: Bases, points: Sequence[tuple[int, ...]]) -> Line:
        """Raises NotAffine where there is none."""
        if any(len(p) != len(points[0]) for p in points):
            raise NotAffine
        return Line(points[-1], tuple([bases.slope(v) for v in zip(*points, strict=True)]))

    @property
    def moves(self) -> bool:
        return any([by for by, _ in self.slopes])

    def at(self, more: Sequence[int]) -> tuple[int, ...]:
        """The numbers where the bases have grown by so much."""
        return tuple([v + by * more[k] if by else v for v, (by, k) in zip(self.last, self.slopes, strict=True)])


class Moving:
    """The classes of a graph's nodes that read what moves. graph: one node of each class, its outputs all that these
    make; of: the value that stands for a moving one."""

    def __init__(self, graph: Graph, typed: Sequence[Graph], bases: Bases) -> None:
        """typed: the graph at each of the lengths of `bases`. Raises NotAffine where their types are not affine."""
        self.bases, self.full_graph, self._typed = bases, graph, typed
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
        self._lines = list(dict.fromkeys(line for line, _ in self._shapes.values()))
        self._line_of = {o: self._lines.index(line) for o, (line, _) in self._shapes.items()}
        names = [o for n in self._nodes for o in n.outputs if o]
        types = {o: graph.types[o] for o in names} | self._inputs
        types |= {c: TensorType(graph.types[c].dtype, a.shape, graph.types[c].quant) if c in graph.types
                  else typed[-1].types[c] for c, a in self._constants.items()}  # fmt: skip
        self._is_plain = all(_is_plain(n, typed[-1].types) for n in self._nodes)
        self.graph = Graph(graph.name, tuple(self._inputs), tuple(names), tuple(self._nodes), types, self._constants)

    def _line(self, value: str) -> Line:
        return Line.through(self.bases, [t.types[value].static_shape for t in self._typed])

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

    def at(self, shapes: Mapping[str, tuple[int, ...]], length: int, meaning: Meaning) -> dict[str, Array]:
        """What is folded at a length, by the names of the small graph. Raises NotAffine where a type is not what it is
        expected to be, or something else is folded."""
        asked = {n: shapes.get(n) or self._inputs[n].static_shape for n in self._inputs}
        if self._is_plain:
            return self._plain(asked, length, meaning)
        typed = retype_known(self.graph, asked, meaning, {})
        constants, types, more = typed.graph.constants, typed.graph.types, self.bases.grown(length)
        for name, (line, folded) in self._shapes.items():
            if name not in typed.known or (name in constants) != folded or types[name].shape != line.at(more):
                raise NotAffine
            if types[name].dtype is not self._typed[-1].types[name].dtype:
                raise NotAffine
        return {name: constants[name] for name, (_, folded) in self._shapes.items() if folded}

    def _plain(self, shapes: dict[str, tuple[int, ...]], length: int, meaning: Meaning) -> dict[str, Array]:
        """`at`, by the rules of shapes alone. What follows from ranks, dtypes and attributes is what it was at the
        lengths whose types are known, and so is what is folded: that, sizes and limits say."""
        types, more, constants = self._typed[-1].types, self.bases.grown(length), dict(self._constants)
        expected = [line.at(more) for line in self._lines]
        for name, array in constants.items():
            shapes[name] = array.shape
        for node in self._nodes:
            given = [shapes[i] if i else None for i in node.inputs]
            if self._shapes[node.outputs[0] or next(filter(None, node.outputs))][1]:
                made = _folded(node, given, types, constants, meaning)
                constants.update((o, a) for o, a in zip(node.outputs, made, strict=False) if o)
                if any(a.dtype != types[o].dtype.numpy for o, a in zip(node.outputs, made, strict=False) if o):
                    raise NotAffine
                found = [a.shape for a in made]
            else:
                found = list(meaning.rules[node.op](node, given, [constants.get(i) for i in node.inputs]))
            for o, shape in zip(node.outputs, found, strict=False):
                if o:
                    shapes[o] = expected[self._line_of[o]]
                    if shape != shapes[o]:
                        raise NotAffine
        return {name: constants[name] for name, (_, folded) in self._shapes.items() if folded}


def _folded(
    node: Node, shapes: Sequence[tuple[int, ...] | None], types: Mapping[str, TensorType],
    constants: Mapping[str, Array], meaning: Meaning,
) -> list[Array]:  # fmt: skip
    """What a node makes of constants, or of shapes alone."""
    if not node.has(SHAPE_ONLY):
        return meaning.exact(types, node, [constants[i] if i else None for i in node.inputs])
    inputs = [
        None if s is None else constants[i] if i in constants else stand_in(types[i], s)
        for i, s in zip(node.inputs, shapes, strict=True)
    ]
    return meaning.evaluate(node, inputs)


def _is_plain(node: Node, types: Mapping[str, TensorType]) -> bool:
    """Whether the types of a node's outputs follow from the rule of its shapes, or it is folded of floats and ints."""
    quantized = any(v and v in types and types[v].is_quantized for v in (*node.inputs, *node.outputs))
    return not (quantized or is_fused(node) or node.op in (SELECT, "Onnx")) and len([*filter(None, node.outputs)]) > 0


def _hashable(value: object) -> Hashable:
    """Something equal for equal attributes."""
    if isinstance(value, dict):
        return tuple([(k, _hashable(v)) for k, v in sorted(value.items())])
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return type(value), value if isinstance(value, Hashable) else id(value)
