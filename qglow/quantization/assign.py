"""Quantization parameters of every quantized value. Values that must agree form a class and share one range.

1. An op that only moves data has one class for its input and outputs, and a Select for both of its sides and what it
   gives.
2. An input of a Concat joins its output's class where nothing else reads it, or where its own range is at least half of
   the class's; otherwise it keeps its own range and is rescaled on the way in.
3. The second operand of a product of two tensors stands where weights do: its range is made symmetric, its zero point
   128.
4. The range of a value that only a table reads, of a function that is flat at an end, is chosen for the least error
   after it: SiLU does not mind what lies far below zero.
5. int16.py says which values are int16, and what their ranges are.
6. Where only a Softmax reads scores with a mask on them, whose large negative values would leave no step for the
   scores, the range is that of the scores: what is masked is cut to its lower end (masks.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from ..graph import DType, Node, Quant
from ..graph.classes import Classes
from ..graph.select_op import SELECT
from ..ops.traits import ARITHMETIC, KEEPS_QUANTIZATION, NEVER_QUANTIZED_OUTPUT
from .int16 import named_values, summed_constants
from .masks import masked_ranges
from .pointwise import Function
from .ranges import Range, Through, activation_quant, int16_quant, observed_range, select
from .state import QuantState


def assign(state: QuantState) -> dict[str, tuple[DType, Quant]]:
    """(dtype, parameters) of every value that is needed quantized."""
    graph, observed, config = state.graph, state.observed, state.config
    through = _only_through(state)
    ranges = {v: select(observed[v], config, through.get(v)) for v in _values(state)}
    for v in _quantized_constants(state):
        finite = graph.constants[v][np.isfinite(graph.constants[v])]
        ranges[v] = float(finite.min(initial=0)), float(finite.max(initial=0))
    masked = masked_ranges(graph, observed, lambda v: ranges[v] if v in ranges else select(observed[v], config))
    ranges |= {v: r for v, r in (masked.scores | masked.masks).items() if v in ranges}
    classes = _shared(state, ranges)
    wide = _int16_classes(state, named_values(state) & ranges.keys(), classes)
    extents: dict[str, Range] = {}
    for v, (low, high) in ranges.items():
        if classes.find(v) in wide and v in observed and v not in masked.scores and v not in masked.masks:
            low, high = observed_range(observed[v])
        c = classes.find(v)
        old = extents.get(c, (0.0, 0.0))
        extents[c] = (min(old[0], low), max(old[1], high))
    symmetric = {classes.find(v) for v in _stand_for_weights(state) if v in ranges}
    quants = {
        c: int16_quant(*extent, config) if c in wide else activation_quant(*extent, config, c in symmetric)
        for c, extent in extents.items()
    }
    return {v: quants[classes.find(v)] for v in ranges}


def _int16_classes(state: QuantState, named: set[str], classes: Classes[str]) -> set[str]:
    """The classes of values that are int16, by the element that stands for each."""
    if not named:
        return set()
    wide = classes.beside(named) | named
    return {classes.find(v) for v in wide | summed_constants(state, wide)}


def _shared(state: QuantState, ranges: Mapping[str, Range]) -> Classes[str]:
    """Rules 1 and 2: values that share a range."""
    graph, classes, consumers = state.graph, Classes[str](), state.graph.consumers()
    for node in filter(state.is_int8, graph.nodes):
        if _moves(node) and node.outputs[0] not in state.functions and node.op != "Concat":
            for o in node.outputs:
                if o in ranges and node.inputs[0] in ranges:
                    classes.join(o, node.inputs[0])
    for node in filter(state.is_int8, graph.nodes):
        if node.op == SELECT and node.outputs[0] in ranges:
            for v in node.inputs[1:]:
                classes.join(v, node.outputs[0])
    for node in filter(state.is_int8, graph.nodes):
        if node.op == "Concat" and node.outputs[0] in ranges:
            inputs = [ranges[i] for i in node.inputs]
            span = max(r[1] for r in inputs) - min(r[0] for r in inputs)
            for i in node.inputs:
                if i in graph.constants or len(consumers.get(i, [])) == 1 or ranges[i][1] - ranges[i][0] >= span / 2:
                    classes.join(i, node.outputs[0])
    return classes


def _only_through(state: QuantState) -> dict[str, Through]:
    """Rule 4: values that nothing reads but one table, with its function."""
    graph, uses = state.graph, state.uses
    functions: dict[str, list[Function]] = {}
    read = set(graph.outputs)
    for node in graph.nodes:
        if not any(o in uses.wanted for o in node.outputs) or node.outputs[0] in uses.clamped:
            continue
        function = state.functions.get(node.outputs[0]) if state.is_int8(node) else None
        if function is None:
            read |= set(node.inputs)
        else:
            functions.setdefault(function.root, []).append(function)
    alone = {v: f[0] for v, f in functions.items() if len(f) == 1 and f[0].axis is None and v not in read}
    return {v: partial(f.table, graph) for v, f in alone.items()}


def _stand_for_weights(state: QuantState) -> list[str]:
    """Second operands of int8 products of two tensors."""
    c = state.graph.constants
    return [
        n.inputs[1]
        for n in filter(state.is_int8, state.graph.nodes)
        if n.op == "MatMul" and not any(i in c for i in n.inputs)
    ]


def _quantized_constants(state: QuantState) -> list[str]:
    """Constants that an int8 sum or concatenation reads, and that no function of one value has taken in."""
    graph = state.graph
    int8 = [n for n in filter(state.is_int8, graph.nodes) if n.outputs[0] not in state.functions]
    nodes = [n for n in int8 if n.has(ARITHMETIC) or n.op == "Concat" or n.op == SELECT]
    return [i for n in nodes for i in n.inputs if i in graph.constants and graph.constants[i].size]


def _moves(node: Node) -> bool:
    return node.has(KEEPS_QUANTIZATION) or (node.op == "Resize" and node.attr("mode") == "nearest")


def _values(state: QuantState) -> list[str]:
    """Values that will exist quantized: needed so, or made by an int8 node (other than a direct float) and needed at
    all."""
    graph, uses = state.graph, state.uses
    names = [*graph.inputs, *(o for n in graph.nodes for o in n.outputs if o)]
    made = {o for n in filter(state.is_int8, graph.nodes) if not n.has(NEVER_QUANTIZED_OUTPUT) for o in n.outputs if o}
    return [v for v in names if v not in uses.fused_clamps and graph.types[v].dtype.is_float
            and (v in uses.quantized or (v in made and v in uses.real))]  # fmt: skip
