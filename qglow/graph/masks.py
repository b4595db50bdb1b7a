"""Which values are scores with a mask on them: sums and choices that only a Softmax reads, so that what is masked has
no range.

1. A value is *for Softmax* where Softmax alone reads it, or what moves it, bounds it from below, or masks it further,
   for Softmax again.
2. A node that makes such a value by Add, Sub or Where has scores and a mask: which operand is which is for its
   constants and ranges to say.
3. An operand is a mask *by its making* where nothing but masks' arithmetic on constants, integers, booleans and inputs
   of the graph makes it, with a constant of FAR or more or a logarithm in it: then it masks, whether calibration saw
   anything masked or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..ops.traits import ADDITIVE, LOWER_BOUND, MASK_ARITHMETIC, MASK_CARRIER, SOFTMAX
from .graph import Graph, Node

FAR = 1000.0


@dataclass(frozen=True, slots=True)
class Masking:
    """A node that masks scores: its output, and what may be scores and mask, with the sign that the mask has in the
    sum."""

    output: str
    pairs: tuple[tuple[str, str, int], ...]


def for_softmax(graph: Graph) -> set[str]:
    """Rule 1."""
    consumers, outputs = graph.consumers(), set(graph.outputs)
    found: set[str] = set()
    for node in reversed(graph.nodes):
        for v in node.outputs:
            readers = consumers.get(v, [])
            if readers and v not in outputs and all(_passes(graph, r, v, found) for r in readers):
                found.add(v)
    return found


def _passes(graph: Graph, reader: Node, v: str, found: set[str]) -> bool:
    if reader.has(SOFTMAX):
        return True
    if not set(reader.outputs) <= found:
        return False
    if reader.has(ADDITIVE):
        return True
    if reader.op == "Where":
        return reader.inputs[0] != v
    return reader.inputs[0] == v and (
        reader.has(MASK_CARRIER) or reader.has(LOWER_BOUND) and is_low_bound(graph, reader)
    )


def is_low_bound(graph: Graph, node: Node) -> bool:
    """Whether a Max or Clip bounds its first input from below alone, by -FAR or less."""
    limits = [graph.constants.get(i) for i in node.inputs[1:2]]
    return len([i for i in node.inputs if i]) == 2 and limits[0] is not None and bool(np.all(limits[0] <= -FAR))


def maskings(graph: Graph) -> list[Masking]:
    """Rule 2, in the order of the graph."""
    values, found = for_softmax(graph), []
    for node in graph.nodes:
        v = node.outputs[0] if node.outputs else ""
        if v not in values or not (graph.types[v].dtype.is_float or graph.types[v].is_quantized):
            continue
        if node.op == "Add":
            a, b = node.inputs
            found.append(Masking(v, ((a, b, 1), (b, a, 1))))
        elif node.op == "Sub":
            found.append(Masking(v, ((node.inputs[0], node.inputs[1], -1),)))
        elif node.op == "Where":
            _, a, b = node.inputs
            found.append(Masking(v, ((a, b, 0), (b, a, 0))))
    return found


def masked_values(graph: Graph) -> set[str]:
    """Values that hold masked scores, moved or not, and those that do nothing but mask: what lies far out in them is no
    score."""
    found, values, consumers = maskings(graph), for_softmax(graph), graph.consumers()
    made = {m.output for m in found}
    masked = set(made)
    for node in graph.nodes:
        masked |= {v for v in node.outputs if v in values and node.input(0) in masked}
    masks = {m for k in found for _, m, _ in k.pairs if m not in graph.outputs}
    return masked | {m for m in masks if all(made.intersection(r.outputs) for r in consumers.get(m, []))}


def is_mask(graph: Graph, value: str, producers: Mapping[str, Node]) -> bool:
    """Rule 3."""
    far, pending, seen = False, [value], set[str]()
    while pending:
        v = pending.pop()
        if v in seen or not v or not graph.types[v].dtype.is_float:
            continue
        seen.add(v)
        if v in graph.constants:
            far |= _is_far(graph.constants[v])
        elif v not in graph.inputs:
            node = producers.get(v)
            if node is None or not node.has(MASK_ARITHMETIC):
                return False
            far |= node.op == "Log"
            far |= node.op == "ConstantOfShape" and node.attr("value") is not None and _is_far(node.attr("value"))
            pending += node.inputs
    return far


def _is_far(constant: np.ndarray) -> bool:  # type: ignore[type-arg]
    return bool(constant.size and np.abs(constant).max() >= FAR)


def endless(graph: Graph) -> set[str]:
    """Values that may be infinite because the model says so: masks that are inputs, and what is made of these and of
    infinite constants."""
    found = masked_inputs(graph)
    found |= {name for name, c in graph.constants.items() if c.dtype.kind == "f" and np.isinf(c).any()}
    for node in graph.nodes:
        if not found.isdisjoint(node.inputs):
            found |= {o for o in node.outputs if o}
    return found


def masked_inputs(graph: Graph) -> set[str]:
    """Inputs of the graph that are masks, and may hold infinities: nothing reads them but what masks scores, through
    moves."""
    consumers = graph.consumers()
    masks = {(m, k.output) for k in maskings(graph) for _, m, _ in k.pairs}

    def masks_in(v: str, reader: Node) -> bool:
        moved = reader.has(MASK_CARRIER) and reader.inputs[0] == v
        return is_read_as_mask(reader.outputs[0]) if moved else any((v, o) in masks for o in reader.outputs)

    def is_read_as_mask(v: str) -> bool:
        readers = consumers.get(v, [])
        return bool(readers) and v not in graph.outputs and all(masks_in(v, r) for r in readers)

    return {i for i in graph.inputs if graph.types[i].dtype.is_float and is_read_as_mask(i)}
