"""Attention whose values are less their mean, in the biases of the products around it.

The rows of a Softmax sum to 1, so that softmax(s) v = softmax(s) (v - m) + m for any m that all keys share. Rounded to
8 bits, with one range for all rows, the many small weights of a row are lost, and with them their share of the mean of
v: a row sums to 0.9 or less. Without the mean, what is lost is of the differences between keys alone.

1. v is a view of some output channels of a product by constant weights, whose bias takes m off: b[c] - m[c].
2. The result goes, through views, to a product by constant weights alone, whose bias gives it back: b + m w.
3. All that reads the values between is views, of other channels where it leads elsewhere. No node is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..graph import Array, DType, Graph, Node, TensorType
from ..graph.type_rules import gemm_form
from ..ops.traits import MATRIX_PRODUCT, VIEW
from ..reference.evaluate import evaluate_node

Offsets = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Attention:
    """maker: the product that makes the values; before: views of its output that lead to the second operand of
    `weighted`; after: those of its output that lead to `reader`. aside: the other views of what `before` reads."""

    maker: Node
    before: tuple[Node, ...]
    weighted: Node
    after: tuple[Node, ...]
    reader: Node
    aside: tuple[Node, ...]

    @property
    def source(self) -> str:
        return self.maker.outputs[0]

    @property
    def result(self) -> str:
        return self.weighted.outputs[0]


def find_attentions(graph: Graph) -> list[Attention]:
    """The products of a Softmax of which rules 1 to 3 hold, as far as names tell."""
    producers, consumers = graph.producers(), graph.consumers()
    found = []
    for node in graph.nodes:
        if node.op != "MatMul" or not _is_softmax(graph, producers.get(node.inputs[0])):
            continue
        before, value = list[Node](), node.inputs[1]
        while (maker := producers.get(value)) is not None and _is_view(graph, maker):
            before.insert(0, maker)
            value = maker.inputs[0]
        after, value = list[Node](), node.outputs[0]
        while (reader := _only_reader(graph, consumers, value)) is not None and _is_view(graph, reader):
            after.append(reader)
            value = reader.outputs[0]
        if maker is None or reader is None or value != reader.inputs[0]:
            continue
        if not (_is_dense(graph, maker) and _is_dense(graph, reader)):
            continue
        path = [*before, node]
        read = [maker.outputs[0], *(n.inputs[0] for n in before[1:]), node.inputs[1]]
        others = [n for v in dict.fromkeys(read) for n in consumers[v] if all(n is not k for k in path)]
        held = [o for n in before for o in n.outputs]
        if not set(graph.outputs).isdisjoint((*read, *held)) or not all(_is_view(graph, n) for n in others):
            continue
        if node.inputs[0] != node.inputs[1]:
            found.append(Attention(maker, tuple(before), node, tuple(after), reader, tuple(others)))
    return found


def offsets_of(
    graph: Graph, attention: Attention, mean: Array, shape: tuple[int, ...], made: tuple[int, ...]
) -> Offsets:
    """What the values of an attention lose, by name, each as it is broadcast to the value; none where rules 1 to 3 do
    not hold. mean: float32 [channels] of the maker's output; shape: of that output; made: of the result."""
    ids = {attention.source: np.broadcast_to(np.arange(mean.size), shape)}
    for node in (*attention.before, *attention.aside):
        ids |= moved(graph, node, ids[node.inputs[0]])
    value = ids[attention.weighted.inputs[1]]
    if value.ndim < 2 or (value != value[..., :1, :]).any():
        return {}
    taken = np.unique(value)
    led = dict.fromkeys((attention.weighted.inputs[1], *(n.inputs[0] for n in attention.before)))  # NOTE: in this order
    if any(np.isin(v, taken).any() for name, v in ids.items() if name not in led):
        return {}
    lost = np.zeros(mean.size, np.float32)
    lost[taken] = mean[taken]
    offsets = {name: lost[ids[name]] for name in led}
    try:
        offsets[attention.result] = np.broadcast_to(offsets[attention.weighted.inputs[1]][..., :1, :], made)
    except ValueError:  # NOTE: several heads of weights that share values in another way than by broadcasting
        return {}
    reached = attention.result
    for node in attention.after:
        offsets |= moved(graph, node, offsets[reached])
        reached = node.outputs[0]
    last = offsets[reached]
    if (last != last[(0,) * (last.ndim - 1)]).any():
        return {}
    return {name: _least(o) for name, o in offsets.items()}


def centred(graph: Graph, attention: Attention, offsets: Offsets) -> Graph:
    """The graph with these offsets in the biases of both products."""
    given = offsets[attention.reader.inputs[0]].ravel().astype(np.float64)
    w = graph.constants[attention.reader.inputs[1]].astype(np.float64)
    rows = w.T if gemm_form(attention.reader).turns_b else w
    back = np.zeros(rows.shape[1])
    for m, row in zip(given, rows, strict=True):  # NOTE: one after the other: the same bits on every machine
        back += m * row
    lost = np.broadcast_to(-offsets[attention.source].ravel(), (_columns(graph, attention.maker),))
    return _with_bias(_with_bias(graph, attention.maker, lost), attention.reader, back)


def moved(graph: Graph, node: Node, x: Array) -> dict[str, Array]:
    """The outputs of a view of `x`."""
    inputs = [x, *(graph.constants[i] if i else None for i in node.inputs[1:])]
    return {o: v for o, v in zip(node.outputs, evaluate_node(graph, node, inputs), strict=False) if o}


def _with_bias(graph: Graph, node: Node, more: Array) -> Graph:
    node = next(n for n in graph.nodes if n.name == node.name)
    before = graph.constants[node.inputs[2]] if node.input(2) else np.zeros(1, np.float32)
    bias = (before.reshape(-1).astype(np.float64) + more).astype(np.float32)
    name = f"{node.outputs[0]}.centred_bias"
    made = node.with_(inputs=(*node.inputs[:2], name))
    return graph.with_(
        nodes=tuple(made if n is node else n for n in graph.nodes),
        constants={**graph.constants, name: bias},
        types={**graph.types, name: TensorType(DType.F32, bias.shape)},
    )


def _least(offset: Array) -> Array:
    """The array with one element along the axes on which it is constant."""
    for axis in range(offset.ndim):
        first = offset[(slice(None),) * axis + (slice(0, 1),)]
        offset = first if (offset == first).all() else offset
    return np.ascontiguousarray(offset, np.float32)


def _columns(graph: Graph, node: Node) -> int:
    w = graph.constants[node.inputs[1]]
    return int(w.shape[0] if gemm_form(node).turns_b else w.shape[1])


def _is_softmax(graph: Graph, node: Node | None) -> bool:
    if node is None or node.op != "Softmax":
        return False
    rank = graph.types[node.outputs[0]].rank
    return rank is not None and int(node.attr("axis")) % rank == rank - 1


def _is_view(graph: Graph, node: Node) -> bool:
    """Whether a node moves elements of its first input, to places that constants name."""
    c = graph.constants
    return (
        node.has(VIEW) and node.op != "Concat" and node.inputs[0] not in c and all(i in c for i in node.inputs[1:] if i)
    )


def _is_dense(graph: Graph, node: Node) -> bool:
    """Whether a node is a product by a constant matrix, with a constant bias or none."""
    c = graph.constants
    if not node.has(MATRIX_PRODUCT) or node.inputs[1] not in c or c[node.inputs[1]].ndim != 2:
        return False
    form = gemm_form(node)
    if c[node.inputs[1]].dtype != np.float32 or form.turns_a or (form.alpha, form.beta) != (1, 1):
        return False
    return not node.input(2) or (node.inputs[2] in c and c[node.inputs[2]].size in (1, _columns(graph, node)))


def _only_reader(graph: Graph, consumers: Mapping[str, list[Node]], value: str) -> Node | None:
    readers = consumers.get(value, [])
    return readers[0] if len(readers) == 1 and value not in graph.outputs else None
