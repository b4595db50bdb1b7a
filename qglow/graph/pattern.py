"""Patterns over nodes: what a rewrite looks for, written as the expression that the nodes compute.

    op("Max", value("x"), op("Mul", value("x"), constant("alpha", is_scalar), shared=True), commutes=True)

1. A pattern is matched from its last node, the root, towards what made its operands. It is a tree; a value that is
   captured twice under one name must be the same value in both places.
2. The value of an inner node is read by the node above it alone and is no output of the graph; `shared=True` lifts
   that.
3. Both orders of two operands are tried where `commutes` says so, by default where the op has the trait COMMUTATIVE.
   The first that matches is the one that is built.
4. Operands that a pattern does not name may be anything; one that it names must be there, unless it is `optional`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from ..ops import OPS, OpDef, has
from ..ops.traits import COMMUTATIVE, Trait
from ..record import NamedTuple
from .graph import Array, Node
from .types import DType, TensorType

_NONE: Mapping[str, Any] = MappingProxyType({})
Ops = str | Trait | Callable[[OpDef], bool]


class Nodes(Protocol):
    """What matching asks of a graph that is being rewritten."""

    types: dict[str, TensorType]
    constants: dict[str, Array]

    def producer(self, value: str) -> Node | None: ...
    def is_read_once(self, value: str) -> bool: ...


class Match:
    """The values and nodes that a pattern captured, by name. `nodes` has those without a name too, the root first.

    constants, types: what the replacement adds to the graph.
    """

    __slots__ = ("constants", "graph", "named", "nodes", "root", "types", "values")

    def __init__(
        self, graph: Nodes, root: Node, values: Mapping[str, str] = _NONE, named: Mapping[str, Node] = _NONE,
        nodes: tuple[Node, ...] = (),
    ) -> None:  # fmt: skip
        self.graph, self.root, self.values, self.named, self.nodes = graph, root, values, named, nodes
        self.constants: dict[str, Array] = {}
        self.types: dict[str, TensorType] = {}

    def __getitem__(self, capture: str) -> str:
        return self.values[capture]

    def node(self, capture: str) -> Node:
        return self.named[capture]

    def constant(self, capture: str) -> Array:
        """The data of a captured constant. Raises KeyError where the value is none."""
        return self.graph.constants[self.values[capture]]

    def type(self, capture: str) -> TensorType:
        return self.graph.types[self.values[capture]]

    def rank(self, capture: str) -> int | None:
        return self.type(capture).rank

    def keeps_shape(self, value: str, scalar: str) -> bool:
        """Whether a value has its own shape still when a constant of one element is broadcast with it."""
        rank = self.rank(value)
        return rank is not None and self.constant(scalar).ndim <= rank

    def add_constant(self, name: str, data: Array, type: TensorType | None = None) -> str:
        """A constant for the replacement; an older one of the name is replaced. Returns the name."""
        self.constants[name] = data
        self.types[name] = type or TensorType(DType.of(data.dtype), tuple(data.shape))
        return name

    def add_value(self, name: str, type: TensorType) -> str:
        """The type of a value that one node of the replacement hands to another. Returns the name."""
        self.types[name] = type
        return name

    def capturing(self, name: str, value: str) -> Match | None:
        """The match with one more value; None where the name stands for another."""
        if not name:
            return self
        known = self.values.get(name)
        if known is not None:
            return self if known == value else None
        return Match(self.graph, self.root, {**self.values, name: value}, self.named, self.nodes)


class Pattern(Protocol):
    def match(self, value: str, found: Match) -> Match | None:
        """The match with what a value adds to it; None where the value is not what is looked for."""
        ...


class Value(NamedTuple):
    """Any value that is no constant; with `constants`, these too; `optional`, or none at all."""

    name: str
    constants: bool = False
    optional: bool = False

    def match(self, value: str, found: Match) -> Match | None:
        if (not value and not self.optional) or (not self.constants and value in found.graph.constants):
            return None
        return found.capturing(self.name, value)


class Constant(NamedTuple):
    """A constant for whose data `where` holds, or, `optional`, none at all."""

    name: str
    where: Callable[[Array], bool] | None = None
    optional: bool = False

    def match(self, value: str, found: Match) -> Match | None:
        data = found.graph.constants.get(value)
        if data is None:
            return found.capturing(self.name, value) if self.optional and not value else None
        return found.capturing(self.name, value) if self.where is None or self.where(data) else None


class Op(NamedTuple):
    """A node. ops: the name of its op, a trait, or a question to its declaration. where: asked last, of what is
    captured by then.

    attributes: values, or predicates of values, of what the node or its declaration says.
    """

    ops: Ops
    operands: tuple[Pattern, ...] = ()
    name: str = ""
    where: Callable[[Match], bool] | None = None
    attributes: Mapping[str, Any] = _NONE
    shared: bool = False
    commutes: bool | None = None

    @property
    def depth(self) -> int:
        """How many nodes stand behind one another in it."""
        return 1 + max((p.depth for p in self.operands if isinstance(p, Op)), default=0)

    def takes(self, op: str) -> bool:
        if isinstance(self.ops, str):
            return op == self.ops
        return has(op, self.ops) if isinstance(self.ops, Trait) else op in OPS and self.ops(OPS[op])

    def match(self, value: str, found: Match) -> Match | None:
        node = found.graph.producer(value)
        if node is None or (not self.shared and not found.graph.is_read_once(value)):
            return None
        return self.match_node(node, found)

    def match_node(self, node: Node, found: Match) -> Match | None:
        if not self.takes(node.op) or any(node.outputs[1:]) or not self._has_attributes(node):
            return None
        named = {**found.named, self.name: node} if self.name else found.named
        start = Match(found.graph, found.root, found.values, named, (*found.nodes, node))
        inputs = node.inputs[: len(self.operands)]
        inputs += ("",) * (len(self.operands) - len(inputs))
        made = self._operands(inputs, start)
        if (
            made is None
            and len(self.operands) == 2
            and (node.has(COMMUTATIVE) if self.commutes is None else self.commutes)
        ):
            made = self._operands(inputs[::-1], start)
        return made

    def _operands(self, inputs: tuple[str, ...], found: Match) -> Match | None:
        for pattern, value in zip(self.operands, inputs, strict=True):
            made = pattern.match(value, found)
            if made is None:
                return None
            found = made
        return found if self.where is None or self.where(found) else None

    def _has_attributes(self, node: Node) -> bool:
        for name, wanted in self.attributes.items():
            value = node.attr(name)
            if not (wanted(value) if callable(wanted) else value == wanted):
                return False
        return True


def value(name: str, constants: bool = False, optional: bool = False) -> Value:
    return Value(name, constants, optional)


def constant(name: str, where: Callable[[Array], bool] | None = None, optional: bool = False) -> Constant:
    return Constant(name, where, optional)


def op(ops: Ops, *operands: Pattern, name: str = "", **conditions: Any) -> Op:
    """A node pattern. conditions: `where`, `attributes`, `shared`, `commutes` of `Op`."""
    return Op(ops, operands, name, **conditions)


def is_scalar(data: Array) -> bool:
    """Whether a constant is one number, in whatever dimensions."""
    return bool(data.size == 1)
