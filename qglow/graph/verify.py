"""The graph's invariants. All that are broken are collected before one error is raised.

1. Node names are unique; a value is written once, and never a constant or an input.
2. A value is written before it is read, and every value has a type.
3. A constant's array has the dtype and shape of its type.
4. Scales are positive, finite and representable in float32; zero points fit the dtype; an axis lies within the rank and
   has one entry for each of its indices. A value that is quantized block-wise, or has elements below a byte, is a
   constant of both (blocks.py holds what its node makes of it).
5. Every output of the graph exists.
6. A node's op is declared (qglow/ops); its attributes are those that the op declares, of the declared values; it has
   the inputs and outputs that its op declares, of so many dimensions (declared.py).
7. The first output of a node has a name; others that nothing reads may be the empty string.
8. Dtypes and parameters of a node's values are what its op makes them (type_rules.py).
9. A node has an epilogue within code generation alone; then its parts are held to all of this (epilogue.py).
"""

from __future__ import annotations

import math
import os
from contextlib import suppress

import numpy as np

from ..errors import ConfigError, VerifyError
from .blocks import block_faults
from .declared import node_faults
from .epilogue import is_fused, parts
from .graph import Graph, Node
from .text import print_node, print_type
from .type_rules import type_faults
from .types import DType, TensorType

_QUANTIZED = (DType.U8, DType.I8, DType.I16, DType.U16)


def verify_level() -> int:
    """QGLOW_VERIFY. Raises ConfigError where it is not 0 to 3."""
    text = os.environ.get("QGLOW_VERIFY", "1")
    if text not in ("0", "1", "2", "3"):
        raise ConfigError(f"QGLOW_VERIFY must be 0, 1, 2 or 3, got {text!r}")
    return int(text)


def verify(graph: Graph, *, fused: bool = False) -> Graph:
    """The graph itself; raises VerifyError that names every broken invariant. fused: whether nodes may have an epilogue
    (rule 9)."""
    broken = [*_check_fused(graph, fused), *_check_nodes(graph), *_check_constants(graph), *_check_quant(graph)]
    if broken:
        raise VerifyError(f"graph {graph.name!r} breaks {len(broken)} invariants: " + "; ".join(broken[:8]))
    return graph


def show(node: Node, graph: Graph) -> str:
    """A node for an error message: its name and its line of text."""
    line = print_node(node, graph.types)
    return f"node {node.name!r}: `{line if len(line) <= 200 else line[:200] + ' ...'}`"


def _check_nodes(graph: Graph) -> list[str]:
    broken: list[str] = []
    writers = dict.fromkeys(graph.inputs, "an input") | dict.fromkeys(graph.constants, "a constant")
    names: set[str] = set()
    for node in graph.nodes:
        faults = [f"expected a name that no other node has, got {node.name!r} again"] if node.name in names else []
        names.add(node.name)
        faults += [f"expected inputs that are written before, got {i!r}" for i in node.inputs if i and i not in writers]
        if not node.outputs or not node.outputs[0]:
            faults.append("expected a name for its first output, got none")
        for o in filter(None, node.outputs):
            if o in writers:
                faults.append(f"expected an output that nothing else writes, got {o!r}, which is {writers[o]}")
            writers.setdefault(o, f"written by {node.name!r}")
        faults += [
            f"expected a type for every value, got none for {v!r}"
            for v in _untyped((*node.inputs, *node.outputs), graph)
        ]
        faults += [*node_faults(node, graph.types), *type_faults(node, graph.types, graph.constants)]
        broken += [f"{show(node, graph)}: {fault}" for fault in faults]
    broken += [
        f"output {o!r}: expected a value that is written, got one that is not"
        for o in graph.outputs
        if o not in writers
    ]
    return broken + [
        f"expected a type for every value, got none for {v!r}"
        for v in _untyped((*graph.inputs, *graph.constants), graph)
    ]


def _check_fused(graph: Graph, fused: bool) -> list[str]:
    broken = []
    for node in graph.nodes:
        if not is_fused(node):
            continue
        if not fused:
            broken.append(f"{show(node, graph)}: expected no epilogue, which code generation alone writes")
            continue
        with suppress(ValueError, TypeError):  # what declared.py says
            _, between = parts(node, graph.types)
            broken += [
                f"{show(node, graph)}: {fault}"
                for t in between.values()
                if t.quant is not None
                for fault in _quant_faults(t)
            ]
    return broken


def _untyped(values: tuple[str, ...], graph: Graph) -> list[str]:
    return [v for v in dict.fromkeys(values) if v and v not in graph.types]


def _check_constants(graph: Graph) -> list[str]:
    broken = []
    for name, array in graph.constants.items():
        t = graph.types.get(name)
        if t is None:
            continue
        packed = t.dtype is DType.U4 and t.is_static and array.shape == t.stored_shape
        if packed and array.dtype == t.dtype.numpy:
            continue
        if DType.of(array.dtype) is not t.dtype or tuple(array.shape) != t.shape:
            broken.append(
                f"constant {name!r}: expected {t.dtype.value}{list(t.shape or ())}, "
                f"got {array.dtype}{list(array.shape)}"
            )
    return broken


def _check_quant(graph: Graph) -> list[str]:
    producers = graph.producers()
    broken = [
        f"value {name!r}: expected a constant as what is quantized block-wise, or of u4, got {print_type(t)[:80]} of "
        "no constant"
        for name, t in graph.types.items()
        if (t.dtype is DType.U4 or (t.quant is not None and t.quant.block is not None)) and name not in graph.constants
    ]
    broken += [
        f"output {o!r}: expected plain values, got block-wise weights"
        for o in graph.outputs
        if o in graph.types and (q := graph.types[o].quant) is not None and q.block is not None
    ]
    broken += [
        f"value {n!r}: expected u4 with a quantization"
        for n, t in graph.types.items()
        if t.dtype is DType.U4 and t.quant is None
    ]
    return broken + [
        f"{show(producers[name], graph)}: {name!r}: {fault}" if name in producers else f"value {name!r}: {fault}"
        for name, t in graph.types.items()
        if t.quant is not None
        for fault in _quant_faults(t)
    ]


def _quant_faults(t: TensorType) -> list[str]:
    q = t.quant
    assert q is not None
    if q.block is not None or t.dtype is DType.U4:
        return block_faults(t)
    if t.dtype not in _QUANTIZED:
        return [f"expected a dtype that is quantized ({', '.join(k.value for k in _QUANTIZED)}), got {t.dtype.value}"]
    faults = []
    if not _are_scales(q.scale):
        faults += [
            f"expected scales that are positive float32 numbers, got {s!r}" for s in q.scale if not _is_scale(s)
        ][:1]
    low, high = t.limits()
    if not low <= min(q.zero_point, default=low) <= max(q.zero_point, default=low) <= high:
        faults += [f"expected zero points in [{low}, {high}], got {z}" for z in q.zero_point if not low <= z <= high][
            :1
        ]
    if len(q.scale) != len(q.zero_point):
        faults.append(f"expected as many zero points as scales, got {len(q.zero_point)} for {len(q.scale)}")
    elif q.axis is None and len(q.scale) != 1:
        faults.append(f"expected one scale, got {len(q.scale)} and no axis")
    elif q.axis is not None and t.shape is not None and not 0 <= q.axis < len(t.shape):
        faults.append(f"expected an axis of 0 to {len(t.shape) - 1}, got {q.axis}")
    elif q.axis is not None and t.shape is not None and t.shape[q.axis] != len(q.scale):
        faults.append(f"expected {t.shape[q.axis]} scales, as many as axis {q.axis} has indices, got {len(q.scale)}")
    return faults


def _are_scales(scales: tuple[float, ...]) -> bool:
    """`_is_scale` of all, quickly where they are many."""
    if len(scales) < 16:
        return all(map(_is_scale, scales))
    s = np.array(scales, np.float64)
    with np.errstate(all="ignore"):
        return bool((np.isfinite(s) & (s > 0) & (s.astype(np.float32) == s)).all())


def _is_scale(s: float) -> bool:
    return math.isfinite(s) and s > 0 and float(np.float32(s)) == s
