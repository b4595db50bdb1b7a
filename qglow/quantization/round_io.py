"""Inputs and outputs that are rounded to integers, as a bundle with quantized inputs and outputs has them, so that all
that judges the graph sees what that costs.

1. An input that is read as float too, or with several sets of parameters, is rounded once, and everything reads what
   that stands for.
2. An output that is made in float is rounded behind it; what else reads it reads it unrounded.
3. Parameters are those that the value has; else they cover what calibration saw of it. A value of which nothing is
   known stays float.
"""

from __future__ import annotations

from dataclasses import replace

from ..graph import DType, Graph, GraphBuilder, Node, Quant, TensorType
from ..graph.quantized_io import stored_input, stored_output
from .ranges import activation_quant, int16_quant, observed_range, select
from .state import QuantState


def round_io(state: QuantState) -> QuantState:
    """Rules 1 and 2, where the configuration asks for quantized inputs and outputs."""
    if state.config.io == "float":
        return state
    graph = state.graph
    for name in graph.inputs:
        if graph.types[name].dtype is DType.F32 and stored_input(graph, name) is None:
            graph = _rounded_input(state, graph, name)
    for name in dict.fromkeys(graph.outputs):
        if graph.types[name].dtype is DType.F32 and stored_output(graph, name) is None:
            graph = _rounded_output(state, graph, name)
    return replace(state, graph=graph)


def _parameters(state: QuantState, name: str) -> tuple[DType, Quant] | None:
    """Rule 3, of a value that has none."""
    seen = state.observed.get(name)
    if not state.calibrated or seen is None or not seen.count:
        return None
    if state.config.activations == "int16":
        return int16_quant(*observed_range(seen), state.config)
    return activation_quant(*select(seen, state.config), state.config)


def _rounded_input(state: QuantState, graph: Graph, name: str) -> Graph:
    readers = [n for n in graph.nodes if name in n.inputs]
    made = {(t.dtype, t.quant) for n in readers if n.op == "Quantize" for t in (graph.types[n.outputs[0]],)}
    known = [(d, q) for d, q in made if q is not None and q.axis is None]
    found = known[0] if len(known) == 1 else _parameters(state, name)
    if found is None or not readers or name in graph.outputs:
        return graph
    b = GraphBuilder(graph)
    shape = graph.types[name].shape
    q = b.add("Quantize", (name,), TensorType(found[0], shape, found[1]), f"{name}.stored")
    real = b.add("Dequantize", (q,), TensorType(DType.F32, shape), f"{name}.rounded")
    same = {n.outputs[0]: q for n in readers if n.op == "Quantize" and graph.types[n.outputs[0]] == b.types[q]}
    for node in graph.nodes:
        if node.outputs[0] not in same:
            b.append(node.with_(inputs=tuple(same.get(i, real if i == name else i) for i in node.inputs)))
    return b.build(graph.name, graph.inputs, graph.outputs)


def _rounded_output(state: QuantState, graph: Graph, name: str) -> Graph:
    found, makers = _parameters(state, name), graph.producers()
    if found is None or name not in makers or graph.outputs.count(name) > 1:
        return graph
    b = GraphBuilder(graph)
    exact, t = b.fresh(f"{name}.exact"), graph.types[name]
    b.types[exact] = t
    for node in graph.nodes:
        inside = [tuple(exact if v == name else v for v in names) for names in (node.inputs, node.outputs)]
        b.append(node.with_(inputs=inside[0], outputs=inside[1]))
    q = b.add("Quantize", (exact,), TensorType(found[0], t.shape, found[1]), f"{name}.q")
    b.append(Node("Dequantize", (q,), (name,), {}, b.fresh(f"{name}:Dequantize")))
    return b.build(graph.name, graph.inputs, graph.outputs)
