"""Which nodes become int8, and for the rest, why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..graph import Array, DType, Graph, Node
from ..graph.blocks import OP as BLOCKWISE
from ..graph.classes import Classes
from ..graph.select_op import SELECT
from ..ops import refusal
from ..ops.traits import ARITHMETIC, CONVOLUTION, KEEPS_QUANTIZATION, MEAN, PRODUCT, WEIGHTED
from ..profiling.observers import Observer
from ..reference.recurrent import form_obstacle
from .config import QuantConfig
from .finite import asked_if_finite, endless_values
from .pointwise import Function, find_functions


@dataclass(frozen=True, slots=True)
class Plan:
    """reasons: why a node stays float, by node name. functions: table lookups by output value. int8: names of int8 nodes."""

    reasons: dict[str, str]
    functions: dict[str, Function]
    int8: frozenset[str]

    def without(self, reasons: Mapping[str, str]) -> Plan:
        """The plan with further nodes float, and why."""
        int8 = self.int8 - set(reasons)
        functions = {k: f for k, f in self.functions.items() if all(n.name in int8 for n in f.nodes)}
        return Plan({**self.reasons, **reasons}, functions, int8)


def make_plan(graph: Graph, observed: Mapping[str, Observer], config: QuantConfig, roots: frozenset[str] = frozenset()) -> Plan:
    """roots: values at which a function of one tensor begins anew.

    Every node is int8 that can be, is not excluded, and is connected through int8 values to a matrix product."""
    excluded = {n.name: f"excluded by {p!r}" for n in graph.nodes if (p := config.excluded(n)) is not None}
    functions = find_functions(graph, excluded, roots)
    reasons = dict(excluded)
    endless = endless_values(graph, observed, functions)
    for name in asked_if_finite(graph):
        reasons.setdefault(name, "whether its result is NaN or infinite is asked")
    for node in graph.nodes:
        if node.name not in reasons and not endless.isdisjoint((*node.inputs, *node.outputs)):
            reasons[node.name] = "a tensor of it held NaN or infinity in calibration"
        if node.name not in reasons and (reason := _obstacle(graph, observed, functions, node)) is not None:
            reasons[node.name] = reason
    int8 = {n.name for n in graph.nodes if n.name not in reasons}
    for name in isolated_from_products(graph, int8):
        reasons[name] = "no matrix product beside it: converting to int8 and back would cost more than it gives"
        int8.discard(name)
    return Plan(reasons, {k: f for k, f in functions.items() if all(n.name in int8 for n in f.nodes)}, frozenset(int8))


def propagate_float(graph: Graph, plan: Plan, config: QuantConfig) -> Plan:
    """Functions of what a float node makes are float too: then their result is rounded once, and not their input before."""
    producers, reasons = graph.producers(), dict[str, str]()
    for node in graph.nodes:
        function = plan.functions.get(node.outputs[0]) if node.name in plan.int8 else None
        maker = producers.get(function.root) if function is not None else None
        if maker is not None and not config.included(node) and (maker.name not in plan.int8 or maker.name in reasons):
            reasons[node.name] = "what it reads is made in float: its result is rounded instead"
    return plan.without(reasons) if reasons else plan


def _obstacle(graph: Graph, observed: Mapping[str, Observer], functions: Mapping[str, Function], node: Node) -> str | None:
    """Why a node cannot be int8, or None."""
    c = graph.constants
    if node.op == SELECT:
        return _select_obstacle(graph, observed, node)
    if not node.input(0):  # NOTE: a Loop without a trip count omits its first
        return f"op {node.operator} has no int8 variant" if node.inputs else "has no input"
    if not graph.types[node.inputs[0]].kind.is_float:
        return "works on integers that are not quantized values"
    if node.op != "ArgMax" and any(o and graph.types[o].kind is not DType.F32 for o in node.outputs):
        return "its output is not a float32 tensor"
    values = [v for v in (node.inputs[0], *node.outputs) if v and v not in c and graph.types[v].kind.is_float]
    if any(v not in observed or not observed[v].count for v in values):
        return "not reached in calibration: a tensor of it was never seen"
    if node.outputs[0] in functions:
        return None
    if node.inputs[0] in c and not (node.has(ARITHMETIC) or node.op == "Concat"):
        return "it works on a constant: nothing to quantize"
    if (refused := refusal("int8", node, node.op)) is not None and node.definition.integer is not None:
        return f"{node.operator} has no int8 variant with {refused}"
    if node.op == BLOCKWISE:
        return "its weights are in blocks, its activations float: weights of int4_block or int8_block make them int8"
    if node.has(PRODUCT):
        return _product_obstacle(graph, node)
    if node.has(ARITHMETIC):
        if any(i in c and not _is_quantizable(c[i], node.op == "Add") for i in node.inputs):
            return "its constant is not a finite float32 tensor"
        return None if all(graph.types[i].rank is not None for i in node.inputs) else "the rank of an input is not known"
    if node.has(KEEPS_QUANTIZATION):
        return _moving_obstacle(graph, node)
    if node.has(MEAN):
        return None if all(i in c for i in node.inputs[1:] if i) else "its axes are not constant"
    if node.op == "Resize":
        return None
    if node.op == "Softmax":
        rank = graph.types[node.inputs[0]].rank
        return None if rank is not None and int(node.attr("axis")) % rank == rank - 1 else "its axis is not the last"
    if node.op == "LayerNormalization":
        rank = graph.types[node.inputs[0]].rank
        last = rank is not None and int(node.attr("axis")) % rank == rank - 1
        fits = last and all(i in c for i in node.inputs[1:]) and len(node.outputs) == 1
        return None if fits else "only the last axis with constant factors"
    if node.op == "LSTM":
        form = form_obstacle(node)
        if form is not None:
            return f"an int8 LSTM is of the plain form, but {form}"
        constant = all(i in c and c[i].dtype == np.float32 for i in node.inputs[1:4] if i) and node.inputs[2] in c
        h0 = observed.get(node.input(5))
        if h0 is not None and h0.count and max(-h0.min, h0.max) > 1.01:
            return "its initial state was seen outside of [-1, 1]"
        if constant and max(c[i].shape[-1] for i in node.inputs[1:3]) * 255 * 128 >= 2**31:
            return "a sum of its products could overflow int32"
        return None if constant else "its weights are not float32 constants"
    return None if node.op == "ArgMax" else f"op {node.operator} has no int8 variant"


def _select_obstacle(graph: Graph, observed: Mapping[str, Observer], node: Node) -> str | None:
    """Both sides must have a range: what takes one of them has one range for both."""
    if graph.types[node.outputs[0]].kind is not DType.F32:
        return "its output is not a float32 tensor"
    for v in node.inputs[1:]:
        if v in graph.constants and not _is_quantizable(graph.constants[v]):
            return "its constant is not a finite float32 tensor"
        if v not in graph.constants and (v not in observed or not observed[v].count):
            return "not reached in calibration: one side of it was never computed"
    return None


def _product_obstacle(graph: Graph, node: Node) -> str | None:
    c = graph.constants
    if node.op == "MatMul" and node.inputs[1] not in c and node.inputs[0] not in c:
        return None if len(node.inputs) == 2 else "a product of two tensors with a bias"
    if node.inputs[1] not in c:
        return "its weights are not constant"
    if node.input(2) and node.inputs[2] not in c:
        return "its bias is not constant"
    w = c[node.inputs[1]]
    if w.dtype != np.float32:
        return f"its weights are {w.dtype}"
    if node.has(CONVOLUTION) and w.ndim not in (3, 4):
        return f"a {w.ndim - 2}-D convolution has no int8 variant"
    if node.op == "MatMul" and w.ndim != 2:
        return "its weights are not a matrix"
    if node.op == "Gemm" and node.input(2) and c[node.inputs[2]].size not in (1, w.shape[0 if node.attr("transB") else 1]):
        return "its bias is not a vector"
    terms = w[0].size if node.op == "Conv" else w[:, 0].size if node.op == "ConvTranspose" else w.size // max(1, w.shape[-1])
    return "a sum of its products could overflow int32" if terms * 255 * 127 >= 2**30 else None


def _moving_obstacle(graph: Graph, node: Node) -> str | None:
    c = graph.constants
    if node.op == "Concat":
        return (
            "a constant that is not finite float32 is concatenated"
            if any(i in c and not _is_quantizable(c[i]) for i in node.inputs)
            else None
        )
    if node.op == "Pad":
        if node.attr("mode") != "constant":
            return None
        value = c.get(node.input(2))
        return None if not node.input(2) or (value is not None and np.all(value == 0)) else "its padding value is not zero"
    return None


def _is_quantizable(constant: Array, mask: bool = False) -> bool:
    """Whether a constant is float32 and finite; a mask may hold minus infinity, and then its sums do (finite.py)."""
    return constant.dtype == np.float32 and bool((np.isfinite(constant) | (mask & (constant == -np.inf))).all())


def isolated_from_products(graph: Graph, int8: set[str]) -> list[str]:
    """int8 nodes in a connected group (over shared values) that holds no product."""
    classes = Classes[str]()
    chosen = [n for n in graph.nodes if n.name in int8]
    for node in chosen:
        for v in (*node.inputs, *node.outputs):
            if v and v not in graph.constants and graph.types[v].kind.is_float:
                classes.join(f"value {v}", f"node {node.name}")
    beside = classes.beside(f"node {n.name}" for n in chosen if n.has(WEIGHTED))
    return [n.name for n in chosen if f"node {n.name}" not in beside]
