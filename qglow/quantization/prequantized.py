"""A model that is already quantized: its own parameters in place of a profile's, and as many int8 nodes as they allow.

1. qdq.py reads parameters back from its Quantize/DequantizeLinear nodes, folded.py the integers of weights and biases.
2. A node is int8 where every value that it would read or write as int8 has parameters.
3. A value that the model rounds stays rounded: no table and no clamp is fused over it, and float nodes read it rounded
   too.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import ConfigError
from ..graph import Graph
from ..graph.blocks import OP as BLOCKWISE
from ..ops import has
from ..ops.traits import ONNX_QUANTIZATION
from ..profiling.observers import Observer
from ..reference import retype
from .channel_scales import split_channel_scales
from .folded import stored_constants
from .integer_clips import with_real_clips
from .qdq import strip_qdq
from .state import QuantState

DYNAMIC_OPS = ("DynamicQuantizeLinear", "MatMulInteger", "ConvInteger")


def read_model_parameters(state: QuantState) -> QuantState:
    """What a model that came quantized says of its values and constants, where there is no profile. Raises ConfigError
    where it says nothing, and no block-wise weights are asked for, which need to know nothing of activations."""
    if state.calibrated:
        return state
    graph, imported = state.graph, state.imported
    if not any(n.has(ONNX_QUANTIZATION) for n in imported.nodes):
        if not state.config.block_bits and not came_quantized(imported):
            raise ConfigError(
                "the model is not quantized yet: give samples (`--data DATA`), or a profile of them (`qglow "
                "profile MODEL.onnx --data DATA`), or ask for ranges at run time (`--dynamic`)"
            )
        return replace(state, reasons=dict.fromkeys((n.name for n in graph.nodes), "no profile was given"))
    found, seen = strip_qdq(with_real_clips(_with_ranks(graph))), Observer()
    seen.count = 1
    names = [*found.graph.inputs, *(o for n in found.graph.nodes for o in n.outputs if o)]
    quants, factors = split_channel_scales(found.graph, found.quants)
    return replace(
        state, graph=found.graph, observed=dict.fromkeys(names, seen), model_quants=quants, rounded=found.rounded,
        factors=factors, constants=stored_constants(imported, graph),
    )  # fmt: skip


def is_dynamic(imported: Graph) -> bool:
    """Whether ranges that are found when the model runs were asked for before, by onnxruntime's `quantize_dynamic`."""
    return any(n.op == "Onnx" and n.operator in DYNAMIC_OPS for n in imported.nodes)


def came_quantized(imported: Graph) -> bool:
    """Whether a model has integers of its own, or asks for them when it runs."""
    # NOTE: by the operator, for block-wise ones are no ops of the graph's own
    own = any(n.op == BLOCKWISE or has(n.operator, ONNX_QUANTIZATION) for n in imported.nodes)
    return own or is_dynamic(imported)


def _with_ranks(graph: Graph) -> Graph:
    """Shapes where importing found none, as after ops of onnxruntime's own: those of two batch sizes, symbolic where
    they differ."""
    shapes = {i: graph.types[i].shape for i in graph.inputs}
    one_batch = all(s and isinstance(s[0], str) and all(isinstance(d, int) for d in s[1:]) for s in shapes.values())
    if all(t.shape is not None for t in graph.types.values()) or not one_batch:
        return graph
    sizes = [{i: (n, *(d for d in s[1:] if isinstance(d, int))) for i, s in shapes.items() if s} for n in (2, 3)]
    probes = [retype(graph, of_inputs, partly=True) for of_inputs in sizes]
    types = {}
    for name, t in graph.types.items():
        a, b = (p.types.get(name, t).shape for p in probes)
        known = t.shape is None and a is not None and b is not None and len(a) == len(b)
        dims = tuple(x if x == y else f"{name}.{k}" for k, (x, y) in enumerate(zip(a or (), b or (), strict=False)))
        types[name] = t._replace(shape=dims) if known else t
    return graph.with_(types=types)
