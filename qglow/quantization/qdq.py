"""A model that came quantized, read back: its QuantizeLinear and DequantizeLinear nodes become parameters of float
values and of weights.

1. QuantizeLinear of x makes integers v that stand for x with that scale and zero point; what only moves them stands for
   x moved.
2. DequantizeLinear of such a v is x again, rounded: both nodes go. Where x is read otherwise too, an Identity of it is
   what is rounded.
3. DequantizeLinear of a constant is a weight or a bias: its integers are remembered (folded.py).
4. The reals that all integers of an activation stand for are finite, or they stay as they are.
   Signed bytes become unsigned ones with a zero point 128 higher, and uint16 becomes int16 with one 32768 lower: the
   same numbers.
   An activation may have a scale for each channel (axis 1), and one zero point (channel_scales.py).
5. What moves data has the same parameters before and after: where one side has none, it gets the other's, if nothing
   else reads it, and the constants beside it in a Concat are among what these stand for.
6. An integer stands for no NaN, so that nothing takes the place of one, as exporters have it behind a Softmax.

Nodes whose parameters are not constant, or not per tensor for an activation, stay as they are, and so do integers that
are read otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..graph import Array, DType, Graph, GraphBuilder, Node, Quant, TensorType
from ..graph.dead import remove_dead
from ..ops import refusal
from ..ops.traits import KEEPS_QUANTIZATION
from ..reference.arithmetic import dequantize, quantize

Parameters = tuple[DType, Quant]
STORED = {np.dtype(np.uint8): (DType.U8, 0), np.dtype(np.int8): (DType.U8, 128),
          np.dtype(np.int16): (DType.I16, 0), np.dtype(np.uint16): (DType.I16, -32768)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stored:
    """A constant as the model stores it: real = scale (raw - zero). scale, zero: [1], or one an index of `axis`.

    An axis of -1: its parameters follow no single axis, and `q` and `in_8_bits` have no meaning.
    """

    raw: Array
    scale: Array
    zero: Array
    axis: int | None

    @property
    def q(self) -> Array:
        """Integers less their zero point, int64."""
        return self.raw - self.zero.reshape([-1 if k == self.axis else 1 for k in range(self.raw.ndim)])

    def in_8_bits(self) -> tuple[Array, Array] | None:
        """int8 integers and their zero points that stand for the same: all 0 where that can be; None where they are of
        more bits."""
        q, (low, high) = self.q, (self.raw.min(initial=0), self.raw.max(initial=0))
        if q.min(initial=0) >= -128 and q.max(initial=0) <= 127:
            return q.astype(np.int8), np.zeros_like(self.zero)
        shift = 0 if low < 0 else 128  # NOTE: uint8 as int8, its zero point with it
        fits = low - shift >= -128 and high - shift <= 127 and np.all(np.abs(2 * (self.zero - shift) + 1) <= 255)
        return ((self.raw - shift).astype(np.int8), self.zero - shift) if fits else None


@dataclass(frozen=True, slots=True)
class StrippedModel:
    """The float graph without the nodes. quants: parameters by value. rounded: values that the model rounds to them."""

    graph: Graph
    quants: dict[str, Parameters]
    rounded: frozenset[str]


def strip_qdq(graph: Graph) -> StrippedModel:
    """Rules 1, 2, 4 and 5."""
    integers, consumers = _integers(graph), graph.consumers()
    b = GraphBuilder(graph)
    quants: dict[str, Parameters] = {}
    rounded: set[str] = set()
    stands: dict[str, str] = {}  # integers -> the float value for which they stand
    same: dict[str, str] = {}  # output of a removed DequantizeLinear -> the float value that it is
    found_nan: dict[str, str] = {}  # output of IsNaN -> what it is asked of
    for node in graph.nodes:
        x, y = (node.inputs[0] if node.inputs else ""), (node.outputs[0] if node.outputs else "")
        if node.op == "QuantizeLinear" and y in integers:
            alone = (
                x in same
                or all(integers.get(r.outputs[0]) == integers[y] for r in consumers[x])
                and x not in graph.outputs
            )
            x = same.get(x, x)
            if not alone or quants.get(x, integers[y]) != integers[y]:
                x = b.add("Identity", (x,), TensorType(DType.F32, graph.types[y].shape), f"{x}.rescaled")
            quants[x] = integers[y]
            rounded.add(x)
            stands[y] = x
        elif node.op == "DequantizeLinear" and x in stands:
            same[y] = stands[x]
        elif node.op == "Where" and node.inputs[2] in same and x in found_nan and _replaces(graph, node, found_nan[x]):
            same[y] = same[node.inputs[2]]
        elif x in stands:  # it moves integers
            outputs = tuple(b.fresh(f"{o}.real") if o else o for o in node.outputs)
            for o, real in zip(node.outputs, outputs, strict=True):
                b.types[real] = TensorType(DType.F32, graph.types[o].shape)
                stands[o], quants[real] = real, integers[o]
            b.append(node.with_(inputs=tuple(stands.get(i, i) for i in node.inputs), outputs=outputs))
        else:
            if node.op == "IsNaN":
                found_nan[y] = x
            node = node.with_(inputs=tuple(same.get(i, i) for i in node.inputs))
            if (
                node.op == "DequantizeLinear"
                and (given := _parameters(graph, node)) is not None
                and x not in graph.constants
            ):
                # NOTE: integers from elsewhere: equal to what they stand for, so they can be quantized again
                quants[y] = given
            b.append(node)
            _pass_on(node, quants, graph.constants)
    for o in graph.outputs:
        if o in same:
            b.append(Node("Identity", (same[o],), (o,), {}, b.fresh(f"{o}:Identity")))
    stripped = remove_dead(b.build(graph.name, graph.inputs, graph.outputs))
    _pass_back(stripped, quants)
    for node in stripped.nodes:
        _pass_on(node, quants, graph.constants)
    stripped = _padded_apart(_named_outputs(stripped, quants, rounded), quants)
    return StrippedModel(stripped, quants, frozenset(rounded))


def _replaces(graph: Graph, node: Node, asked: str) -> bool:
    """Whether a Where gives a constant in the place of each NaN of the value itself: rule 6."""
    other, shape = graph.constants.get(node.inputs[1]), graph.types[asked].shape
    return node.inputs[2] == asked and other is not None and other.size == 1 and other.ndim <= len(shape or ())


def _pass_back(stripped: Graph, quants: dict[str, Parameters]) -> None:
    """Rule 5, backward."""
    readers = stripped.consumers()
    for node in reversed(stripped.nodes):
        x = node.inputs[0] if node.inputs else ""
        if (
            moves(node)
            and node.op != "Concat"
            and x not in quants
            and x not in stripped.outputs
            and x not in stripped.constants
        ):
            known = {quants.get(o) if moves(r) else None for r in readers[x] for o in r.outputs}
            if (only := _shared(known)) is not None:  # NOTE: who reads it otherwise reads it unrounded
                quants[x] = only


def _shared(given: set[Parameters | None]) -> Parameters | None:
    """The one set of parameters, where there is one and it is of the whole tensor: moved channels lie elsewhere."""
    only = given.pop() if len(given) == 1 else None
    return only if only is not None and only[1].axis is None else None


def moves(node: Node) -> bool:
    """Whether the op moves data without a look at it."""
    nearest = node.op == "Resize" and node.attr("mode") == "nearest"
    return (nearest or (node.has(KEEPS_QUANTIZATION) and node.op != "Pad")) and refusal("int8", node, node.op) is None


def _pass_on(node: Node, quants: dict[str, Parameters], constants: Mapping[str, Array]) -> None:
    """Rule 5, forward."""
    if moves(node):
        sources, fixed = [node.inputs[0]], []
        if node.op == "Concat":
            sources = [i for i in node.inputs if i not in constants]
            fixed = [constants[i] for i in node.inputs if i in constants]
        only = _shared({quants.get(i) for i in sources})
        if only is not None and all(_stands_for(c, *only) for c in fixed):
            for o in filter(None, node.outputs):
                quants.setdefault(o, only)


def _stands_for(values: Array, dtype: DType, quant: Quant) -> bool:
    """Whether each of some reals is what an integer stands for."""
    t = TensorType(dtype, values.shape, quant)
    return np.array_equal(dequantize(quantize(values, t), t), values)


def _integers(graph: Graph) -> dict[str, Parameters]:
    """Parameters of the integer values that vanish: made by QuantizeLinear or moved, and read by nothing but what
    vanishes too."""
    found: dict[str, Parameters] = {}
    for node in graph.nodes:
        if node.op == "QuantizeLinear" and (given := _parameters(graph, node)) is not None:
            found[node.outputs[0]] = given
        elif moves(node):
            sources = list(node.inputs) if node.op == "Concat" else [node.inputs[0]]
            if (only := _shared({found.get(i) for i in sources})) is not None:
                found |= dict.fromkeys((o for o in node.outputs if o), only)
    consumers = graph.consumers()
    pending = [v for v in found if v in graph.outputs]
    for v in found:
        for reader in consumers.get(v, []):
            undone = (
                reader.op == "DequantizeLinear" and _parameters(graph, reader) == found[v] and reader.inputs[0] == v
            )
            if not undone and not (moves(reader) and reader.outputs[0] in found):
                pending.append(v)
    kept: set[str] = set()
    producers = graph.producers()
    # NOTE: integers that are read otherwise stay, and so do those of which they are made, or that are made beside them
    while pending:
        v = pending.pop()
        if v in kept or v not in found:
            continue
        kept.add(v)
        producer = producers[v]
        pending += [*producer.outputs, *producer.inputs] if moves(producer) else []
        for reader in consumers.get(v, []):
            pending += reader.outputs if moves(reader) else []
    return {v: p for v, p in found.items() if v not in kept}


def _parameters(graph: Graph, node: Node) -> Parameters | None:
    """Rule 4: of a QuantizeLinear or DequantizeLinear node; None where they are not constant, vary otherwise than the
    scale by channel, or are neither of 8 bits nor of 16 with one scale."""
    scale = graph.constants.get(node.inputs[1])
    # NOTE: without one, the integers that a DequantizeLinear reads say their dtype
    dtype = graph.types[node.inputs[0]].dtype.numpy if node.op == "DequantizeLinear" else np.dtype(np.uint8)
    zeros = graph.constants.get(node.inputs[2]) if node.input(2) else np.zeros((), dtype)
    if scale is None or zeros is None or zeros.dtype not in STORED or not zeros.size:
        return None
    zero, s = int(zeros.ravel()[0]), scale.astype(np.float64).ravel()
    if scale.dtype != np.float32 or (zeros != zero).any() or not (np.isfinite(s) & (s > 0)).all():
        return None
    if not s.size or not _is_finite(float(s.max()), np.asarray(zeros.ravel()[0])):
        return None
    along = node.attr("axis") % (graph.types[node.inputs[0]].rank or 1) if s.size > 1 else None
    kind, shift = STORED[zeros.dtype]
    if (kind is DType.I16 and along is not None) or along not in (None, 1) or node.attr("block_size"):
        return None
    return kind, Quant(tuple(map(float, s)), (zero + shift,) * s.size, along)


def _is_finite(scale: float, zero: Array) -> bool:
    """Whether all that the integers stand for is finite in float32: the integer forms of ops know no infinities."""
    limits = np.iinfo(zero.dtype)
    steps = max(int(zero.ravel()[0]) - limits.min, limits.max - int(zero.ravel()[0]))
    return steps * scale <= float(np.finfo(np.float32).max)


def _padded_apart(graph: Graph, quants: Mapping[str, Parameters]) -> Graph:
    """A Pad of a value with other parameters than the padded one is of reals, which an Identity of them rounds: what it
    fills the border with need be none of the integers before it."""
    b = GraphBuilder(graph)
    for node in graph.nodes:
        x, y = (node.inputs[0], node.outputs[0]) if node.op == "Pad" else ("", "")
        if y in quants and quants.get(x, quants[y]) != quants[y]:
            b.types[real := b.fresh(f"{y}.real")] = graph.types[y]
            b.append(node.with_(outputs=(real,)))
            node = Node("Identity", (real,), (y,), {}, b.fresh(f"{y}:Identity"))
        b.append(node)
    return b.build(graph.name, graph.inputs, graph.outputs)


def _named_outputs(graph: Graph, quants: dict[str, Parameters], rounded: set[str]) -> Graph:
    """Outputs that are only another name of a value within become that value."""
    rename: dict[str, str] = {}
    for node in graph.nodes:
        inside = node.op == "Identity" and node.inputs[0] in rounded and node.outputs[0] in graph.outputs
        if inside and node.inputs[0] not in {*graph.inputs, *graph.outputs, *rename}:
            rename[node.inputs[0]] = node.outputs[0]
    for old, new in rename.items():
        quants[new] = quants.pop(old)
        rounded.remove(old)
        rounded.add(new)
    nodes = tuple(
        n.with_(inputs=tuple(rename.get(i, i) for i in n.inputs), outputs=tuple(rename.get(o, o) for o in n.outputs))
        for n in graph.nodes
        if not (n.op == "Identity" and n.inputs[0] in rename and n.outputs[0] == rename[n.inputs[0]])
    )
    return graph.with_(
        nodes=nodes, types={rename.get(k, k): t for k, t in graph.types.items() if k not in rename.values()}
    )
