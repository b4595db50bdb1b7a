"""Types of every value once the input shapes are known, with shape computations folded into constants.

Data movement and shape arithmetic get their types by evaluating the op on zeros (a broadcast view of one element, so that a
tensor costs nothing to stand in for); products, pools and element-wise ops have rules, because they would cost time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..errors import InputError, ModelError
from .branches import SELECT, has_branches, side, truth, walk
from .graph import Array, Graph, Node
from .types import Kind, TensorType

Evaluate = Callable[[Node, list[Array | None]], list[Array]]
_FOLD_LIMIT = 4096


class Undecided(Exception):
    """A Select's condition is known neither from shapes nor from what was said: its name."""

    def __init__(self, condition: str) -> None:
        super().__init__(f"the condition {condition!r} depends on data")
        self.condition = condition


def retype(
    graph: Graph,
    input_shapes: Mapping[str, tuple[int, ...]],
    evaluate: Evaluate,
    shape_rules: Mapping[str, ShapeRule],
    decided: Mapping[str, bool] | None = None,
) -> Graph:
    """The graph for concrete input shapes: every type static, integer shape computations turned into constants.

    `evaluate` is the float meaning of a node; it is called on zeros. Of a graph with branches only what the outputs need is left, and a
    Select is the side that it takes: by a constant, or by `decided`, a condition's name -> its value. Where neither says, Undecided is
    raised; without `decided` both sides stay then, and what has no static type keeps its own. Raises ModelError where a shape depends
    on data.
    """
    work = _Retyping(graph, evaluate, shape_rules, decided)
    for name in graph.inputs:
        work.types[name] = _with_shape(name, graph.types[name], input_shapes[name])
    if has_branches(graph):
        walk(graph.outputs, graph.producers(), work.node, work.sides)
    else:
        for node in graph.nodes:
            work.node(node)
    used = {v for n in work.nodes for v in n.inputs} | set(graph.outputs)
    constants = {k: v for k, v in work.constants.items() if k in used}
    if has_branches(graph):
        used |= {*graph.inputs, *(o for n in work.nodes for o in n.outputs if o)}
        work.types = {k: t for k, t in work.types.items() if k in used}
    return Graph(graph.name, graph.inputs, graph.outputs, tuple(work.nodes), work.types, constants)


class _Retyping:
    """The types and constants that are known so far, and the nodes that are left."""

    def __init__(self, graph: Graph, evaluate: Evaluate, rules: Mapping[str, ShapeRule], decided: Mapping[str, bool] | None) -> None:
        self.graph, self.evaluate, self.rules, self.decided = graph, evaluate, rules, decided
        self.types, self.constants = dict(graph.types), dict(graph.constants)
        self.nodes: list[Node] = []
        self.lenient = decided is None and has_branches(graph)

    def node(self, node: Node) -> None:
        try:
            if node.op == SELECT:
                self.select(node)
            else:
                self.other(node)
        except ModelError:
            if not self.lenient:
                raise
            self.nodes.append(node)  # NOTE: of a side that is never taken, or behind it: the type it has says what is known

    def sides(self, node: Node) -> tuple[str, ...]:
        """The values of a Select that may be taken."""
        condition = self.constants.get(node.inputs[0])
        if condition is not None:
            try:
                return (side(node, truth(condition)),)
            except ValueError as error:
                raise ModelError(f"node {node.name!r} ({node.op}): {error}") from error
        if self.decided is None:
            return node.inputs[1:]
        if node.inputs[0] not in self.decided:
            raise Undecided(node.inputs[0])
        return (side(node, self.decided[node.inputs[0]]),)

    def select(self, node: Node) -> None:
        values, out = self.sides(node), node.outputs[0]
        if len(values) > 1:
            self.types[out] = either([self.types[v] for v in values])
            self.nodes.append(node)
            return
        self.types[out] = self.types[values[0]]
        if values[0] in self.constants:
            self.constants[out] = self.constants[values[0]]
        else:
            self.nodes.append(Node("Identity", values, node.outputs, {}, node.name))

    def other(self, node: Node) -> None:
        types, constants = self.types, self.constants
        known = all(not i or i in constants for i in node.inputs)
        small = sum(constants[i].size for i in node.inputs if i and i in constants) <= _FOLD_LIMIT
        quantized = any(v and self.graph.types[v].is_quantized for v in (*node.inputs, *node.outputs))
        whole = all(self.graph.types[o].kind is not Kind.F32 for o in node.outputs if o)
        if node.op in ("Shape", "Size") or (known and small and not quantized and whole):
            results = self.evaluate(node, [_stand_in(i, types, constants) for i in node.inputs])
            for o, a in zip(node.outputs, results, strict=False):
                if o:
                    constants[o], types[o] = a, TensorType(Kind.of(a.dtype), tuple(a.shape))
            return
        for o, t in zip(node.outputs, _infer(node, types, constants, self.evaluate, self.rules), strict=False):
            if o:
                old = self.graph.types[o]
                types[o] = TensorType(old.kind if old.is_quantized or t.kind is Kind.STRING else t.kind, t.shape, old.quant)
        self.nodes.append(node)


def either(types: list[TensorType]) -> TensorType:
    """What is known of a value that is of one of these types, which are of one kind: dimensions that differ have no name."""
    first, second = types
    if first.rank is None or first.rank != second.rank or first.shape is None or second.shape is None:
        return TensorType(first.kind, None, first.quant)
    shape = tuple(a if a == b else "?" for a, b in zip(first.shape, second.shape, strict=True))
    return TensorType(first.kind, shape, first.quant)


ShapeRule = Callable[[Node, list[tuple[int, ...] | None], list[Array | None]], list[tuple[int, ...]]]


def _with_shape(name: str, t: TensorType, shape: tuple[int, ...]) -> TensorType:
    if t.shape is not None and (
        len(t.shape) != len(shape) or any(isinstance(d, int) and d != s for d, s in zip(t.shape, shape, strict=True))
    ):
        raise InputError(f"input {name!r}: expected shape {list(t.shape)}, got {list(shape)}")
    return TensorType(t.kind, tuple(shape), t.quant)


def _stand_in(name: str, types: Mapping[str, TensorType], constants: Mapping[str, Array]) -> Array | None:
    if not name:
        return None
    if name in constants:
        return constants[name]
    t = types[name]
    dtype = np.dtype(np.float32) if t.is_quantized or t.kind is Kind.STRING else t.kind.dtype
    return np.broadcast_to(np.zeros((), dtype), t.static_shape)


# Inputs whose elements, not only their shape, decide the shape of the output. NOTE: on zeros such an op would have some other shape.
_SHAPING = {
    **dict.fromkeys(("NonZero", "Unique", "ConstantOfShape"), (0,)), "Range": (0, 1, 2), "NonMaxSuppression": (0, 1, 2, 3, 4),
    **dict.fromkeys(("Reshape", "Expand", "Tile", "Pad", "Squeeze", "Unsqueeze", "Split", "TopK", "OneHot", "Compress"), (1,)),
    "Slice": (1, 2, 3, 4), "Resize": (2, 3),
}  # fmt: skip


def _shaping(node: Node) -> list[str]:
    places = _SHAPING.get(node.op) or ((1,) if node.op.startswith("Reduce") else ())
    return [name for k in places if (name := node.input(k))]


def _infer(
    node: Node, types: Mapping[str, TensorType], constants: Mapping[str, Array], evaluate: Evaluate, rules: Mapping[str, ShapeRule]
) -> list[TensorType]:
    unknown = [i for i in _shaping(node) if i not in constants]
    if unknown:
        raise ModelError(f"node {node.name!r} ({node.op}): its output's shape depends on the data of {unknown[0]!r}")
    rule = rules.get(node.op)
    if rule is None:
        arrays = evaluate(node, [_stand_in(i, types, constants) for i in node.inputs])
        return [TensorType(Kind.of(a.dtype), tuple(a.shape)) for a in arrays]
    try:
        shapes = rule(
            node,
            [types[i].static_shape if i else None for i in node.inputs],
            [constants.get(i) if i else None for i in node.inputs],
        )
    except Exception as error:
        given = [types[i].shape if i else None for i in node.inputs]
        raise ModelError(f"node {node.name!r} ({node.op}): shapes {given} do not fit: {error}") from error
    return [TensorType(types[o or node.outputs[0]].kind, s) for o, s in zip(node.outputs, shapes, strict=False)]
