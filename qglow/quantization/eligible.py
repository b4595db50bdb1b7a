"""Which nodes become int8, and for the rest, why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..graph import Array, DType, Graph, Node
from ..graph.blocks import OP as BLOCKWISE
from ..graph.classes import Classes
from ..graph.select_op import SELECT
from ..graph.type_rules import is_bias
from ..ops import OPS, quantized_form, refusal
from ..ops.traits import ARITHMETIC, CONVOLUTION, KEEPS_QUANTIZATION, MEAN, PRODUCT, SHAPE_ONLY, WEIGHTED, WINDOW
from ..profiling.observers import Observer
from ..reference.recurrent import form_obstacle
from .block_weights import nodes_for_blocks
from .finite import asked_if_finite, endless_values
from .pointwise import Function, find_functions
from .state import QuantState


def apply_user_choices(state: QuantState) -> QuantState:
    """Nodes that the user excludes, and those that get block-wise weights in place of int8 ones, stay float; all others
    are candidates."""
    graph, config = state.graph, state.config
    excluded = {n.name: f"excluded by {p!r}" for n in graph.nodes if (p := config.excluded(n)) is not None}
    in_blocks = dict.fromkeys(nodes_for_blocks(graph, config), "its weights are in blocks") if state.calibrated else {}
    reasons = {**in_blocks, **excluded, **state.reasons}
    return replace(state, reasons=reasons, int8=frozenset(n.name for n in graph.nodes if n.name not in reasons))


def find_eligible_nodes(state: QuantState) -> QuantState:
    """Nodes that have an int8 form with what is known of their values, and functions of one tensor among them."""
    graph, reasons = state.graph, dict[str, str]()
    state = replace(state, functions=find_functions(graph, state.reasons, state.rounded))
    endless = endless_values(graph, state.observed, state.functions)
    asked = dict.fromkeys(asked_if_finite(graph), "whether its result is NaN or infinite is asked")
    of_shapes = made_of_shapes(graph)
    for node in filter(state.is_int8, graph.nodes):
        if of_shapes.issuperset(node.outputs):
            reasons[node.name] = "made of shapes alone: a constant wherever the input shapes are known"
        elif node.name in asked:
            reasons[node.name] = asked[node.name]
        elif not endless.isdisjoint((*node.inputs, *node.outputs)):
            reasons[node.name] = "a tensor of it held NaN or infinity in calibration"
        elif (reason := _obstacle(graph, state.observed, state.functions, node)) is not None:
            reasons[node.name] = reason
    return state.kept_float(reasons)


def made_of_shapes(graph: Graph) -> set[str]:
    """Values that no element of an input has a say in, as sines of positions and causal masks: at another length they
    leave the range that calibration saw."""
    found = {"", *graph.constants}
    for node in graph.nodes:
        if node.has(SHAPE_ONLY) or found.issuperset(node.inputs):
            found.update(node.outputs)
    return found.difference(graph.constants)


def keep_isolated_nodes_float(state: QuantState) -> QuantState:
    """Nodes in a connected group (over shared values) that holds no product."""
    reason = "no matrix product beside it: converting to int8 and back would cost more than it gives"
    graph, classes = state.graph, Classes[str]()
    chosen = list(filter(state.is_int8, graph.nodes))
    for node in chosen:
        for v in (*node.inputs, *node.outputs):
            if v and v not in graph.constants and graph.types[v].dtype.is_float:
                classes.join(f"value {v}", f"node {node.name}")
    beside = classes.beside(f"node {n.name}" for n in chosen if n.has(WEIGHTED))
    return state.kept_float({n.name: reason for n in chosen if f"node {n.name}" not in beside})


def _obstacle(
    graph: Graph, observed: Mapping[str, Observer], functions: Mapping[str, Function], node: Node
) -> str | None:
    """Why a node cannot be int8, or None."""
    c = graph.constants
    if node.op == SELECT:
        return _select_obstacle(graph, observed, node)
    if not node.input(0):  # NOTE: a Loop without a trip count omits its first
        return f"op {node.operator} has no int8 variant" if node.inputs else "has no input"
    if not graph.types[node.inputs[0]].dtype.is_float:
        return "works on integers that are not quantized values"
    if node.op != "ArgMax" and any(o and graph.types[o].dtype is not DType.F32 for o in node.outputs):
        return "its output is not a float32 tensor"
    values = [v for v in (node.inputs[0], *node.outputs) if v and v not in c and graph.types[v].dtype.is_float]
    if any(v not in observed or not observed[v].count for v in values):
        return "not reached in calibration: a tensor of it was never seen"
    if node.outputs[0] in functions:
        return None
    if node.inputs[0] in c and not (node.has(ARITHMETIC) or node.op == "Concat"):
        return "it works on a constant: nothing to quantize"
    if (refused := refusal("int8", node, node.op)) is not None and OPS[quantized_form(node.op)].integer is not None:
        return f"{node.operator} has no int8 variant with {refused}"
    if node.op == BLOCKWISE:
        return "its weights are in blocks, its activations float: weights of int4_block or int8_block make them int8"
    if node.has(PRODUCT):
        return _product_obstacle(graph, node)
    if node.op == "LSTM":
        return _recurrent_obstacle(graph, observed, node)
    return _form_obstacle(graph, node)


def _form_obstacle(graph: Graph, node: Node) -> str | None:
    """Of an op that is no product: what its int8 form asks of constants, axes and ranks."""
    c, rank = graph.constants, graph.types[node.inputs[0]].rank
    if node.has(ARITHMETIC):
        if len(node.inputs) != 2:
            return f"{len(node.inputs)} operands: int8 has two"
        if any(i in c and not _is_quantizable(c[i], node.op == "Add") for i in node.inputs):
            return "its constant is not a finite float32 tensor"
        return (
            None if all(graph.types[i].rank is not None for i in node.inputs) else "the rank of an input is not known"
        )
    if node.has(WINDOW) and rank is not None and rank > 4:
        return f"a {rank - 2}-D window has kernels of floats alone"
    if node.has(KEEPS_QUANTIZATION):
        return _moving_obstacle(graph, node)
    if node.has(MEAN):
        return None if all(i in c for i in node.inputs[1:] if i) else "its axes are not constant"
    if node.op == "Softmax":
        return None if rank is not None and int(node.attr("axis")) % rank == rank - 1 else "its axis is not the last"
    if node.op == "LayerNormalization":
        last = rank is not None and int(node.attr("axis")) % rank == rank - 1
        fits = last and all(i in c for i in node.inputs[1:]) and len(node.outputs) == 1
        return None if fits else "only the last axis with constant factors"
    meant = node.definition.int8 is not None and not node.has(SHAPE_ONLY)
    return None if meant else f"op {node.operator} has no int8 variant"


def _recurrent_obstacle(graph: Graph, observed: Mapping[str, Observer], node: Node) -> str | None:
    c, form = graph.constants, form_obstacle(node)
    if form is not None:
        return f"an int8 LSTM is of the plain form, but {form}"
    constant = all(i in c and c[i].dtype == np.float32 for i in node.inputs[1:4] if i) and node.inputs[2] in c
    h0 = observed.get(node.input(5))
    if h0 is not None and h0.count and max(-h0.min, h0.max) > 1.01:
        return "its initial state was seen outside of [-1, 1]"
    if constant and max(c[i].shape[-1] for i in node.inputs[1:3]) * 255 * 128 >= 2**31:
        return "a sum of its products could overflow int32"
    return None if constant else "its weights are not float32 constants"


def _select_obstacle(graph: Graph, observed: Mapping[str, Observer], node: Node) -> str | None:
    """Both sides must have a range: what takes one of them has one range for both."""
    if graph.types[node.outputs[0]].dtype is not DType.F32:
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
    if node.has(CONVOLUTION) and (fault := _dimension_obstacle(node, w)) is not None:
        return fault
    if node.op == "MatMul" and w.ndim != 2:
        return "its weights are not a matrix"
    if node.op == "Gemm" and node.input(2) and not is_bias(c[node.inputs[2]], w.shape[0 if node.attr("transB") else 1]):
        return "its bias is not a vector"
    terms = (
        w[0].size
        if node.op == "Conv"
        else w[:, 0].size
        if node.op == "ConvTranspose"
        else w.size // max(1, w.shape[-1])
    )
    return "a sum of its products could overflow int32" if terms * 255 * 127 >= 2**30 else None


def _dimension_obstacle(node: Node, w: Array) -> str | None:
    """A convolution over one or two dimensions has an int8 form; over three, where it is neither transposed nor in
    groups."""
    if w.ndim in (3, 4) or (w.ndim == 5 and node.op == "Conv" and node.attr("group") == 1):
        return None
    kind = "transposed convolution" if node.op == "ConvTranspose" else "convolution"
    return f"a {w.ndim - 2}-D {kind} has no int8 variant" + (" in groups" if w.ndim == 5 and node.op == "Conv" else "")


def _moving_obstacle(graph: Graph, node: Node) -> str | None:
    c = graph.constants
    if node.op == "Concat":
        return (
            "a constant that is empty or not finite float32 is concatenated"
            if any(i in c and not (c[i].size and _is_quantizable(c[i])) for i in node.inputs)
            else None
        )
    if node.op == "Pad":
        if node.attr("mode") != "constant":
            return None
        value = c.get(node.input(2))
        return (
            None if not node.input(2) or (value is not None and np.all(value == 0)) else "its padding value is not zero"
        )
    return None


def _is_quantizable(constant: Array, mask: bool = False) -> bool:
    """Whether a constant is float32 and finite; a mask may hold minus infinity, and then its sums do (finite.py)."""
    return constant.dtype == np.float32 and bool((np.isfinite(constant) | (mask & (constant == -np.inf))).all())
