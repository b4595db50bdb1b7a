"""A model that is already quantized: its own parameters in place of a profile's, and as many int8 nodes as they allow.

1. qdq.py reads parameters back from its Quantize/DequantizeLinear nodes, folded.py the integers of weights and biases.
2. A node is int8 where every value that it would read or write as int8 has parameters.
3. A value that the model rounds stays rounded: no table and no clamp is fused over it, and float nodes read it rounded too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..errors import ConfigError
from ..graph import Graph
from ..graph.blocks import OP as BLOCKWISE
from ..graph.blocks import precision_of
from ..ops.traits import ACCUMULATES, ONNX_QUANTIZATION, PRODUCT
from ..profiling.observers import Observer
from ..reference import retype
from .block_weights import with_block_weights
from .config import QuantConfig
from .convert import Converter, Decision, QuantResult
from .folded import stored_constants
from .plan import Plan, make_plan
from .precision_uses import PrecisionUses, data_inputs, find_precision_uses
from .qdq import Stored, StrippedModel, moves, strip_qdq
from .reach import beyond_int32
from .stored import kept_integers, overflow

_NONE = "the model gives a value that it reads or writes no int8 parameters"


def recover(graph: Graph, imported: Graph, config: QuantConfig | None = None) -> QuantResult:
    """The int8 graph of a quantized model. imported: before simplification. config: of which block-wise weights alone are looked at, which
    what stays float gets. Raises ConfigError where the model holds no quantized node, and no such weights are asked for.
    """
    config = QuantConfig() if config is None else config
    if any(n.has(ONNX_QUANTIZATION) for n in imported.nodes):
        return _in_blocks(_recovered(graph, imported), config)
    if not config.block_bits and not any(n.op == BLOCKWISE for n in graph.nodes):
        raise ConfigError("the model is not quantized yet: give a profile (make one with `qglow profile MODEL.onnx --data DATA`)")
    return _in_blocks(QuantResult(graph, tuple(Decision(n.name, n.operator, "float", "no profile was given") for n in graph.nodes)), config)


def _in_blocks(result: QuantResult, config: QuantConfig) -> QuantResult:
    """The result with block-wise weights where the configuration asks for them, and the precision of all that has such weights."""
    graph = with_block_weights(result.graph, config)
    precisions = {n.name: p for n in graph.nodes if (p := precision_of(n, graph.types))}
    decisions = (replace(d, precision=precisions[d.node], reason="") if d.node in precisions else d for d in result.decisions)
    return QuantResult(graph, tuple(decisions))


def _recovered(graph: Graph, imported: Graph) -> QuantResult:
    config, stored = QuantConfig(), stored_constants(imported, graph)
    found = strip_qdq(_with_ranks(graph))
    plan, needs = _plan(found, config, stored)
    converter = Converter(found.graph, plan, needs, found.quants, config, stored=stored, rounded=found.rounded)
    return QuantResult(converter.run(), tuple(converter.decisions))


def _with_ranks(graph: Graph) -> Graph:
    """Shapes where importing found none, as after ops of onnxruntime's own: those of two batch sizes, symbolic where they differ."""
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


def _plan(found: StrippedModel, config: QuantConfig, stored: Mapping[str, Stored]) -> tuple[Plan, PrecisionUses]:
    """Rule 2: nodes become float until none is left that lacks parameters, or whose integers cannot be kept or summed up."""
    graph, seen = found.graph, Observer()
    seen.count = 1
    names = [*graph.inputs, *(o for n in graph.nodes for o in n.outputs if o)]
    plan = make_plan(graph, dict.fromkeys(names, seen), config, found.rounded)
    while True:
        needs = find_precision_uses(graph, plan, config.float_outputs)
        for root in found.rounded & set(needs.fused_clamps):
            del needs.fused_clamps[root]
            needs.quantized.add(root)
        needs.quantized |= found.rounded
        lacking = {n.name: _NONE for n in graph.nodes if n.name in plan.int8 and _lacks(found, plan, needs, n.name)}
        lacking = lacking or _not_kept(found, plan, needs, stored) or beyond_int32(graph, plan, needs, found.quants)
        if not lacking:
            return plan, needs
        plan = plan.without(lacking)


def _not_kept(found: StrippedModel, plan: Plan, needs: PrecisionUses, stored: Mapping[str, Stored]) -> dict[str, str]:
    """Products whose weights the model stores as integers that int8 products cannot have, and why."""
    reasons = {}
    for node in found.graph.nodes:
        if node.name in plan.int8 and node.has(PRODUCT) and node.inputs[1] in stored:
            x, y = found.quants[node.inputs[0]][1], needs.fused_clamps.get(node.outputs[0], node.outputs[0])
            kept = kept_integers(found.graph, stored, node, x)
            rounded = y in needs.quantized or y in needs.fused_clamps.values()
            reason = overflow(node, kept, x, found.quants[y][1] if rounded else None) if isinstance(kept, tuple) else kept
            if reason is not None:
                reasons[node.name] = reason
    return reasons


def _lacks(found: StrippedModel, plan: Plan, needs: PrecisionUses, name: str) -> bool:
    """Whether a value that the node would read or write as int8 has no parameters."""
    graph, quants = found.graph, found.quants
    node = next(n for n in graph.nodes if n.name == name)
    wanted = needs.quantized | needs.real | set(needs.fused_clamps)
    if not any(o in wanted for o in node.outputs) or node.outputs[0] in needs.fused_clamps.values():
        return False
    function = plan.functions.get(node.outputs[0])
    outputs = [needs.fused_clamps.get(o, o) for o in node.outputs if o in wanted]
    sources = [function.root] if function else data_inputs(graph, node)
    if any(s not in quants for s in sources) or node.op == "ArgMax":
        return any(s not in quants for s in sources)
    if node.has(ACCUMULATES) and not any(o in needs.quantized or o in needs.fused_clamps.values() for o in outputs):
        return False
    if any(o not in quants for o in outputs):
        return True
    return function is None and moves(node) and node.op != "Concat" and any(quants[o] != quants[sources[0]] for o in outputs)
