"""The graph's invariants. All that are broken are collected before one error is raised.

1. Node names are unique; a value is written once, and never a constant or an input.
2. A value is written before it is read, and every value has a type.
3. A constant's array has the kind and shape of its type.
4. Scales are positive, finite and representable in float32; zero points fit the kind; an axis lies within the rank and has
   one entry for each of its indices.
5. Every output of the graph exists.
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import VerifyError
from .graph import Graph, Node
from .types import Kind, TensorType


def verify(graph: Graph) -> Graph:
    """The graph itself; raises VerifyError that names every broken invariant."""
    broken = [*_check_nodes(graph), *_check_constants(graph), *_check_quant(graph)]
    if broken:
        raise VerifyError(f"graph {graph.name!r} breaks {len(broken)} invariants: " + "; ".join(broken[:8]))
    return graph


def _show(node: Node) -> str:
    return f"node {node.name!r} {node.op}({', '.join(node.inputs)}) -> {', '.join(node.outputs)}"


def _check_nodes(graph: Graph) -> list[str]:
    broken: list[str] = []
    written = set(graph.inputs) | set(graph.constants)
    names: set[str] = set()
    for node in graph.nodes:
        if node.name in names:
            broken.append(f"{_show(node)}: name is taken")
        names.add(node.name)
        broken += [f"{_show(node)}: reads {i!r} before it is written" for i in node.inputs if i and i not in written]
        for o in node.outputs:
            if o and o in written:
                broken.append(f"{_show(node)}: writes {o!r} again")
            if o:
                written.add(o)
        broken += [f"{_show(node)}: {v!r} has no type" for v in (*node.inputs, *node.outputs) if v and v not in graph.types]
    broken += [f"output {o!r} is never written" for o in graph.outputs if o not in written]
    return broken + [f"{v!r} has no type" for v in (*graph.inputs, *graph.constants) if v not in graph.types]


def _check_constants(graph: Graph) -> list[str]:
    broken = []
    for name, array in graph.constants.items():
        t = graph.types.get(name)
        if t is None:
            continue
        if Kind.of(array.dtype) is not t.kind or tuple(array.shape) != t.shape:
            broken.append(f"constant {name!r}: expected {t.kind.value}{list(t.shape or ())}, got {array.dtype}{list(array.shape)}")
    return broken


def _check_quant(graph: Graph) -> list[str]:
    return [f"value {name!r}: {fault}" for name, t in graph.types.items() if t.quant is not None for fault in _quant_faults(t)]


def _quant_faults(t: TensorType) -> list[str]:
    q = t.quant
    assert q is not None
    faults = []
    if t.kind not in (Kind.U8, Kind.I8, Kind.I16, Kind.U16):
        return [f"quantization parameters on kind {t.kind.value}"]
    if not all(math.isfinite(s) and s > 0 and float(np.float32(s)) == s for s in q.scale):
        faults.append("a scale is not a positive float32")
    low, high = t.limits()
    if not all(low <= z <= high for z in q.zero_point):
        faults.append(f"a zero point is outside [{low}, {high}]")
    if len(q.scale) != len(q.zero_point) or (q.axis is None and len(q.scale) != 1):
        faults.append("scales and zero points differ in number")
    elif q.axis is not None and t.shape is not None and not (0 <= q.axis < len(t.shape) and t.shape[q.axis] == len(q.scale)):
        faults.append(f"axis {q.axis} does not fit shape {t.shape} with {len(q.scale)} scales")
    return faults
