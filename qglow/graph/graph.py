"""The typed graph: frozen nodes in execution order over named values. Passes build new graphs; nothing here mutates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from ..ops.definition import OpDef
from ..ops.registry import OPS, default
from ..ops.traits import Trait
from .types import DType, TensorType

Attribute = Any  # int | float | str | bytes | tuple of int, float or str | np.ndarray | Graph
Array = np.ndarray[Any, Any]


class Node:
    """One operation. An omitted optional input is the empty string. `name` is unique in its graph.

    NOTE: nodes are made by the thousand while plans are, so this is a plain class, whose fields mypy keeps final.
    """

    __slots__ = ("attributes", "inputs", "name", "op", "outputs")

    def __init__(
        self,
        op: str,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        attributes: Mapping[str, Attribute] | None = None,
        name: str = "",
    ) -> None:
        self.op: Final = op
        self.inputs: Final = inputs
        self.outputs: Final = outputs
        self.attributes: Final[Mapping[str, Attribute]] = {} if attributes is None else attributes
        self.name: Final = name

    def __repr__(self) -> str:
        return f"Node({self.op!r}, {self.inputs!r}, {self.outputs!r}, {self.attributes!r}, {self.name!r})"

    def attr(self, name: str) -> Attribute:
        """The value of an attribute; where the node has none, the default that the op declares, or None. Raises
        KeyError for an attribute that the op does not declare."""
        try:
            return self.attributes[name]
        except KeyError:
            return default(self.op, name)

    @property
    def definition(self) -> OpDef:
        """The declaration of the op. Raises KeyError where there is none."""
        return OPS[self.op]

    def has(self, trait: Trait) -> bool:
        """Whether the op has a trait."""
        declared = OPS.get(self.op)
        return declared is not None and trait in declared.traits

    @property
    def operator(self) -> str:
        """The name that a reader of the model knows: `op`, of an `Onnx` node the operator that it carries, of a
        quantized form that of its float op."""
        row = OPS.get(self.op)
        return str(self.attributes.get("op_type") or (row.float_op if row is not None else "") or self.op)

    def with_(self, **changes: Any) -> Node:
        """A copy with fields replaced."""
        have = {"op": self.op, "inputs": self.inputs, "outputs": self.outputs, "attributes": self.attributes}
        return Node(**{**have, "name": self.name, **changes})

    def with_attributes(self, **changes: Attribute) -> Node:
        """A copy with attributes set; a value of None removes the attribute."""
        merged = {k: v for k, v in {**self.attributes, **changes}.items() if v is not None}
        return Node(self.op, self.inputs, self.outputs, merged, self.name)

    def input(self, index: int) -> str:
        """The input's name, or the empty string where it is omitted."""
        return self.inputs[index] if index < len(self.inputs) else ""


class Graph:
    """Nodes in topological order; every value that exists has an entry in `types`.

    Constants are values with data: they have a type too, and their arrays are never written to.
    """

    __slots__ = ("constants", "inputs", "name", "nodes", "outputs", "types")

    def __init__(
        self,
        name: str,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        nodes: tuple[Node, ...],
        types: Mapping[str, TensorType],
        constants: Mapping[str, Array] | None = None,
    ) -> None:
        self.name: Final = name
        self.inputs: Final = inputs
        self.outputs: Final = outputs
        self.nodes: Final = nodes
        self.types: Final = types
        self.constants: Final[Mapping[str, Array]] = {} if constants is None else constants

    def __repr__(self) -> str:
        return f"Graph({self.name!r}, {len(self.nodes)} nodes, {len(self.constants)} constants)"

    def with_(self, **changes: Any) -> Graph:
        """A copy with fields replaced."""
        return Graph(**{field: getattr(self, field) for field in Graph.__slots__} | changes)

    def type(self, value: str) -> TensorType:
        return self.types[value]

    def producers(self) -> dict[str, Node]:
        """The node that writes each value."""
        return {o: n for n in self.nodes for o in n.outputs if o}

    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that read each value, in order, a node once per reading input; graph outputs are not counted."""
        found: dict[str, list[Node]] = {}
        for n in self.nodes:
            for i in n.inputs:
                if i:
                    found.setdefault(i, []).append(n)
        return found

    def constant(self, value: str) -> Array | None:
        """The data of a constant, or None where the value is not one (or is omitted)."""
        return self.constants.get(value)


class GraphBuilder:
    """Collects nodes and constants with fresh names, then freezes them: the one mutable thing, local to a pass."""

    def __init__(self, base: Graph | None = None) -> None:
        self.nodes: list[Node] = []
        self.types: dict[str, TensorType] = dict(base.types) if base else {}
        self.constants: dict[str, Array] = dict(base.constants) if base else {}
        self._taken = set(self.types) | ({n.name for n in base.nodes} if base else set())

    def reserve(self, names: Iterable[str]) -> None:
        """Names that `fresh` shall not give."""
        self._taken.update(names)

    def fresh(self, hint: str) -> str:
        """A name that no value or node has: the hint itself where it is free."""
        name, k = hint, 1
        while name in self._taken:
            name, k = f"{hint}.{k}", k + 1
        self._taken.add(name)
        return name

    def add_constant(self, hint: str, data: Array, type: TensorType | None = None) -> str:
        name = self.fresh(hint)
        self.constants[name] = data
        self.types[name] = type or TensorType(DType.of(data.dtype), tuple(data.shape))
        return name

    def add(self, op: str, inputs: Iterable[str], type: TensorType, hint: str, /, **attributes: Attribute) -> str:
        """Append a node with one output of a given type; returns the output's name."""
        out = self.fresh(hint)
        self.types[out] = type
        self.append(Node(op, tuple(inputs), (out,), attributes, self.fresh(f"{out}:{op}")))
        return out

    def append(self, node: Node) -> None:
        self._taken.add(node.name)
        self.nodes.append(node)

    def build(self, name: str, inputs: Iterable[str], outputs: Iterable[str]) -> Graph:
        """The graph of what was collected, without constants and types that nothing uses."""
        ins, outs = tuple(inputs), tuple(outputs)
        used = set(ins) | set(outs) | {v for n in self.nodes for v in (*n.inputs, *n.outputs) if v}
        return Graph(
            name, ins, outs, tuple(self.nodes),
            {k: v for k, v in self.types.items() if k in used},
            {k: v for k, v in self.constants.items() if k in used},
        )  # fmt: skip
