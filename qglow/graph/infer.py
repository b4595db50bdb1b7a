"""Types of every value once the input shapes are known, with shape computations folded into constants.

Shapes follow from the rule that an op's declaration names. Where all elements of a node's inputs are known and few, it
is computed instead, as is one that reads shapes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np

from ..errors import InputError, LimitError, ModelError
from ..limits import at_most
from ..ops.control import NEW_EACH_TIME
from ..ops.traits import PRODUCT, SHAPE_ONLY
from ..record import NamedTuple
from .declared import rank_faults, sizing_operands
from .dtypes import dtype_made, mixed_dtypes
from .epilogue import is_fused, parts
from .graph import Array, Graph, Node
from .select_op import SELECT, has_branches, side, truth, walk
from .type_rules import type_faults
from .types import DType, Shape, TensorType

Evaluate = Callable[[Node, list[Array | None]], list[Array]]
Types = Mapping[str, TensorType]
Shapes = Mapping[str, tuple[int, ...] | None]
ShapeRule = Callable[[Node, Sequence[Shape | None], Sequence[Array | None]], Sequence[Shape | None]]
FallbackTypes = Callable[[Node, list[TensorType | None], list[Array | None]], list[TensorType | None]]
_FOLD_LIMIT = 1 << 14  # elements of constants: of a causal mask of 128 positions
_FOLD_BYTES, _FOLD_WORK = 32 << 20, 1 << 12  # of one node; NOTE: what is more is left to where it runs


class DataDependent(ModelError):
    """The shape of a node's output follows from the data of its inputs, or nothing says from what it follows."""


class Contradiction(ValueError):
    """Operands of a node whose shapes cannot belong to each other, whoever computes it."""


class Misdeclared(ModelError):
    """No values of a node can be as the graph says: nothing is computed from it, not on the host either."""


class Undecided(Exception):
    """A Select's condition is known neither from shapes nor from what was said: its name."""

    def __init__(self, condition: str) -> None:
        super().__init__(f"the condition {condition!r} depends on data")
        self.condition = condition


class Meaning(NamedTuple):
    """What typing asks of the ops. evaluate: the float meaning of a node. exact: the bits that kernels make of it.
    rules: output shapes, by op. foreign: the types of an `Onnx` node's outputs, None for one that is not known."""

    evaluate: Evaluate
    exact: Callable[[Types, Node, list[Array | None]], list[Array]]
    rules: Mapping[str, ShapeRule]
    foreign: FallbackTypes


class Typed(NamedTuple):
    """A graph for concrete input shapes. known: the values whose type is static. Nodes with another output are left as
    they are, but that a Select which was decided is an Identity."""

    graph: Graph
    known: frozenset[str]

    @property
    def waiting(self) -> tuple[Node, ...]:
        """The nodes, in order, with an output whose shape is not known."""
        return tuple(n for n in self.graph.nodes if any(o and o not in self.known for o in n.outputs))


def retype(
    graph: Graph, shapes: Shapes, meaning: Meaning, decided: Mapping[str, bool] | None = None, *, partly: bool = False
) -> Graph:
    """The graph for concrete input shapes: every type static, integer shape computations turned into constants.

    Of a graph with branches only what the outputs need is left, and a Select is the side that it takes: by a constant,
    or by `decided`, a condition's name -> its value. Where neither says, Undecided is raised; without `decided` both
    sides stay then, and what has no static type keeps its own. Raises DataDependent where a shape depends on data;
    partly: such a value keeps its own type as well.
    """
    work = _work(graph, shapes, meaning, decided)
    lenient = decided is None and has_branches(graph)
    if work.faults and not lenient and not partly:
        raise work.faults[0]
    return work.result().graph


def retype_known(graph: Graph, shapes: Shapes, meaning: Meaning, decided: Mapping[str, bool]) -> Typed:
    """`retype`, as far as it goes: what depends on data is left for when the data is there. A shape of None: an input
    that is no tensor of a fixed shape. Raises Undecided for a condition that neither shapes nor `decided` decide."""
    return _work(graph, shapes, meaning, decided).result()


def _work(graph: Graph, shapes: Shapes, meaning: Meaning, decided: Mapping[str, bool] | None) -> _Retyping:
    work = _Retyping(graph, meaning, decided)
    for name in graph.inputs:
        shape = shapes[name]
        if shape is not None and graph.types[name].dtype is not DType.STRING:
            work.types[name] = _with_shape(name, graph.types[name], shape)
            work.known.add(name)
    if has_branches(graph):
        walk(graph.outputs, graph.producers(), work.node, work.sides)
    else:
        for node in graph.nodes:
            work.node(node)
    return work


class _Retyping:
    """The types and constants that are known so far, the nodes that are left, and why some have no static type."""

    def __init__(self, graph: Graph, meaning: Meaning, decided: Mapping[str, bool] | None) -> None:
        self.graph, self.meaning, self.decided = graph, meaning, decided
        self.types, self.constants = dict(graph.types), dict(graph.constants)
        self.known = {c for c, a in graph.constants.items() if a.dtype.kind != "O"}
        self.room = 8 * _FOLD_BYTES  # that is left for what is folded
        self.nodes: list[Node] = []
        self.faults: list[ModelError] = []

    def result(self) -> Typed:
        graph, branched = self.graph, has_branches(self.graph)
        used = {v for n in self.nodes for v in n.inputs} | set(graph.outputs)
        constants = {k: v for k, v in self.constants.items() if k in used}
        types: Types = self.types
        if branched:
            used |= {*graph.inputs, *(o for n in self.nodes for o in n.outputs if o)}
            types = {k: t for k, t in types.items() if k in used}
        typed = Graph(graph.name, graph.inputs, graph.outputs, tuple(self.nodes), types, constants)
        return Typed(typed, frozenset(self.known))

    def node(self, node: Node) -> None:
        if node.op == SELECT:
            self.select(node)
            return
        unknown = next((i for i in node.inputs if i and i not in self.known), None)
        try:
            if unknown is not None:
                raise DataDependent(
                    f"node {node.name!r} ({node.operator}): the shape of its input {unknown!r} depends on data"
                )
            self.other(node)
        except Misdeclared as fault:
            if self.decided is not None:
                raise
            self.faults.append(fault)
            self.nodes.append(node)
        # NOTE: also of shapes that do not fit, on a side that is never taken or not: the host will tell
        except ModelError as fault:
            # NOTE: its frames hold this object: the graph would stay until the collector comes
            fault.__cause__ = fault.__context__ = None
            self.faults.append(fault.with_traceback(None))
            self.nodes.append(node)

    def sides(self, node: Node) -> tuple[str, ...]:
        """The values of a Select that may be taken."""
        condition = self.constants.get(node.inputs[0])
        if condition is not None:
            try:
                return (side(node, truth(condition)),)
            except ValueError as error:
                raise ModelError(f"node {node.name!r} ({node.operator}): {error}") from error
        if self.decided is None:
            return node.inputs[1:]
        if node.inputs[0] not in self.decided:
            raise Undecided(node.inputs[0])
        return (side(node, self.decided[node.inputs[0]]),)

    def select(self, node: Node) -> None:
        values, out = self.sides(node), node.outputs[0]
        if len(values) > 1:
            self.types[out] = either([self.types[v] for v in values])
            if self.types[out].is_static and self.known.issuperset(values):
                self.known.add(out)
            self.nodes.append(node)
            return
        self.types[out] = self.types[values[0]]
        if values[0] in self.known:
            self.known.add(out)
        if values[0] in self.constants:
            self.constants[out] = self.constants[values[0]]
        else:
            self.nodes.append(Node("Identity", values, node.outputs, {}, node.name))

    def other(self, node: Node) -> None:
        types, constants = self.types, self.constants
        known = all(not i or i in constants for i in node.inputs)
        read = node.inputs[:1] if node.has(PRODUCT) else node.inputs  # NOTE: to fold shortens even large weights
        small = sum(constants[i].size for i in read if i and i in constants) <= _FOLD_LIMIT
        quantized = any(v and self.graph.types[v].is_quantized for v in (*node.inputs, *node.outputs))
        # NOTE: a quantized node of the graph's own constants stays: weights are packed from their integers
        of_shapes = any(i and i not in self.graph.constants for i in node.inputs)
        exact = node.op == "Quantize" or not (quantized and not of_shapes or node.operator in NEW_EACH_TIME)
        fold = node.has(SHAPE_ONLY) or (known and small and exact)
        results = self.folded(node) if fold else None
        if results is not None:
            for o, a, dtype in [(o, a, _dtype(node, a)) for o, a in zip(node.outputs, results, strict=False) if o]:
                constants[o] = a
                types[o] = TensorType(dtype, tuple(a.shape), self.graph.types[o].quant)
                self.known.add(o)
            return
        inferred = _infer(node, types, constants, self.meaning)
        missing = [o for o, t in zip(node.outputs, inferred, strict=False) if o and t is None]
        if missing:  # NOTE: then none of its outputs is: a node is computed as a whole
            raise DataDependent(
                f"node {node.name!r} ({node.operator}): the shape of its output {missing[0]!r} depends on data"
            )
        for o, t in zip(node.outputs, inferred, strict=False):
            if o and t is not None:
                old = self.graph.types[o]
                types[o] = TensorType(old.dtype if old.is_quantized else t.dtype, t.shape, old.quant)
                self.known.add(o)
        if quantized:  # NOTE: of shapes that were not known when the graph was verified
            _check_types(node, types, constants)
        self.nodes.append(node)

    def folded(self, node: Node) -> list[Array] | None:
        """What a node makes of constants; None where that is too large, or takes too long, to be kept in a graph."""
        inputs = [_stand_in(i, self.types, self.constants) for i in node.inputs]
        try:
            with at_most(min(_FOLD_BYTES, self.room), _FOLD_WORK):
                if node.has(SHAPE_ONLY):
                    results = self.meaning.evaluate(node, inputs)
                else:
                    results = self.meaning.exact(self.graph.types, node, inputs)
        except LimitError:
            return None
        self.room -= sum(a.nbytes for a in results if isinstance(a, np.ndarray) and a.nbytes > 1 << 16)
        return results if self.room > 0 else None


def _check_types(node: Node, types: Types, constants: Mapping[str, Array]) -> None:
    faults = type_faults(node, types, constants)
    for o in filter(None, node.outputs):
        t = types[o]
        if t.quant is not None and t.quant.axis is not None and t.shape is not None:
            count, axis = len(t.quant.scale), t.quant.axis
            if not axis < len(t.shape) or t.shape[axis] != count:
                faults.append(
                    f"expected {o!r} with as many indices of axis {axis} as scales, {count}, got {list(t.shape)}"
                )
    if faults:
        raise Misdeclared(f"node {node.name!r} ({node.op}): {'; '.join(faults[:3])}")


def either(types: list[TensorType]) -> TensorType:
    """What is known of a value that is of one of these types, which are of one dtype: dimensions that differ have no
    name."""
    first, second = types
    if first.rank is None or first.rank != second.rank or first.shape is None or second.shape is None:
        return TensorType(first.dtype, None, first.quant)
    shape = tuple(a if a == b else "?" for a, b in zip(first.shape, second.shape, strict=True))
    return TensorType(first.dtype, shape, first.quant)


def _with_shape(name: str, t: TensorType, shape: tuple[int, ...]) -> TensorType:
    if t.shape is not None and (
        len(t.shape) != len(shape) or any(isinstance(d, int) and d != s for d, s in zip(t.shape, shape, strict=True))
    ):
        raise InputError(f"input {name!r}: expected shape {list(t.shape)}, got {list(shape)}")
    return TensorType(t.dtype, tuple(shape), t.quant)


def _stand_in(name: str, types: Mapping[str, TensorType], constants: Mapping[str, Array]) -> Array | None:
    if not name:
        return None
    if name in constants:
        return constants[name]
    return stand_in(types[name], types[name].static_shape)


def stand_in(t: TensorType, shape: tuple[int, ...]) -> Array:
    """Zeros, of which there is one in memory."""
    dtype = np.dtype(np.float32) if t.is_quantized or t.dtype is DType.STRING else t.dtype.numpy
    return np.broadcast_to(np.zeros((), dtype), shape)


def _dtype(node: Node, array: Array) -> DType:
    if not isinstance(array, np.ndarray):
        raise DataDependent(f"node {node.name!r} ({node.operator}): a sequence has no fixed shape")
    try:
        dtype = DType.of(array.dtype)
    except KeyError as error:
        raise ModelError(f"node {node.name!r} ({node.operator}): values of {array.dtype} are not supported") from error
    if dtype is DType.STRING:
        raise DataDependent(f"node {node.name!r} ({node.operator}): strings have no fixed shape")
    return dtype


def _infer(node: Node, types: Types, constants: Mapping[str, Array], meaning: Meaning) -> list[TensorType | None]:
    """Types of the outputs, None where they depend on data."""
    if is_fused(node):
        return _infer_parts(node, types, constants, meaning)
    if wrong := rank_faults(node, types):  # NOTE: of shapes that were not known when the graph was verified
        raise Misdeclared(f"node {node.name!r} ({node.op}): {wrong[0]}")
    if mixed := mixed_dtypes(node, types):
        raise Misdeclared(f"node {node.name!r} ({node.op}): {mixed}")
    if node.op == "Onnx":
        return meaning.foreign(
            node, [types[i] if i else None for i in node.inputs], [constants.get(i) if i else None for i in node.inputs]
        )
    deciding = sizing_operands(node)
    if deciding is None:
        raise DataDependent(
            f"node {node.name!r} ({node.operator}): its output's shape depends on the data of {node.inputs[0]!r}"
        )
    unknown = [name for k in deciding if (name := node.input(k)) and name not in constants]
    if unknown:
        raise DataDependent(
            f"node {node.name!r} ({node.operator}): its output's shape depends on the data of {unknown[0]!r}"
        )
    given = [types[i].shape if i else None for i in node.inputs]
    try:
        shapes = meaning.rules[node.op](node, given, [constants.get(i) if i else None for i in node.inputs])
        static = (cast("tuple[int, ...]", s) for s in shapes)  # all are, where their inputs are
        short = next((s for s in static if any(d < 0 for d in s)), None)
    except Contradiction as error:
        raise Misdeclared(f"node {node.name!r} ({node.op}): {error}") from error
    except Exception as error:
        raise ModelError(f"node {node.name!r} ({node.operator}): shapes {given} do not fit: {error}") from error
    if short is not None:
        fault = f"shapes {given} do not fit: the output would have the shape {list(short)}"
        raise Misdeclared(f"node {node.name!r} ({node.operator}): {fault}")  # NOTE: of a node that nothing uses, too
    made = [TensorType(_kind_of(node, o, types), s) if o else None for o, s in zip(node.outputs, shapes, strict=False)]
    if any(t is not None and t.dtype is DType.STRING for t in made):
        raise DataDependent(f"node {node.name!r} ({node.operator}): strings have no fixed shape")
    return made


def _infer_parts(node: Node, types: Types, constants: Mapping[str, Array], meaning: Meaning) -> list[TensorType | None]:
    """The type of a fused node's output: that of each of its parts, for they all have the product's shape. Raises
    Misdeclared."""
    apart, between = parts(node, types)
    known, shape = {**types, **between}, None
    for part in apart:
        (made,) = _infer(part, known, constants, meaning)
        if made is None or shape not in (None, made.shape):
            raise Misdeclared(
                f"node {node.name!r} ({node.op}): expected an epilogue that keeps the shape {shape}, got {made}"
            )
        shape, out = made.shape, part.outputs[0]
        known[out] = TensorType(known[out].dtype, shape, known[out].quant)
    return [known[node.outputs[0]]]


def _kind_of(node: Node, output: str, types: Types) -> DType:
    """The dtype of an output whose shape a rule gives. Raises ModelError where another is declared.

    NOTE: of a value whose shape was not known at import, the dtype is a guess, which is replaced.
    """
    declared, inputs = types[output], [types[i] if i else None for i in node.inputs]
    if declared.is_quantized:
        return declared.dtype
    made = dtype_made(node, node.outputs.index(output), inputs) or declared.dtype
    if made is not declared.dtype and declared.shape is not None:
        raise Misdeclared(
            f"node {node.name!r} ({node.op}): it makes {made.value}, but {output!r} is declared as "
            f"{declared.dtype.value}"
        )
    return made
