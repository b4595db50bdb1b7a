"""Ops that have no meaning of their own here: kept as data and evaluated by onnx's own reference implementation.

Only operators that it was seen to compute as onnxruntime does (HELD), or as onnx's own tests say (HELD_BY_SUITE): in
others it is wrong, or nothing says that it is right. The bodies of Loop and Scan are graphs of ours (loops.py), and
some have meanings here (own_meanings.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import onnx

from ..errors import ModelError
from ..graph import Array, DType, Node, TensorType
from ..limits import check_memory
from .adapters import ADAPTERS
from .fallback_types import infer
from .forms import has_meaning, unmet
from .loops import evaluate_if, evaluate_loop, evaluate_scan, repeats
from .opsets import domain_of
from .own_meanings import evaluate_own, own_meaning

if TYPE_CHECKING:
    from onnx.reference import ReferenceEvaluator

_LOWERED = {"Constant", "Dropout", "Upsample", "QLinearConv", "QLinearMatMul"}
_HELD_ELSEWHERE = {
    "ai.onnx.ml": {"ArrayFeatureExtractor", "Binarizer", "LabelEncoder", "TreeEnsemble"},
    "ai.onnx.preview": {"FlexAttention"},
}
_BODIES = {"Loop": evaluate_loop, "Scan": evaluate_scan, "If": evaluate_if}
HELD = frozenset({  # beside onnxruntime, by tests/sweep
    "AffineGrid", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "BlackmanWindow", "CastLike",
    "CenterCropPad",
    "Col2Im", "ConvInteger", "DFT", "DeformConv", "Det", "Einsum", "EyeLike", "HammingWindow",
    "HannWindow", "IsInf", "LayerNormalization", "MatMulInteger", "MeanVarianceNormalization", "MelWeightMatrix",
    "NegativeLogLikelihoodLoss", "RMSNormalization", "ReverseSequence", "RotaryEmbedding",
    "SoftmaxCrossEntropyLoss", "TfIdfVectorizer",
})  # fmt: skip
# By onnx's own tests alone: onnxruntime has no kernel, draws other random numbers, or gives lists.
HELD_BY_SUITE = frozenset({
    "Attention", "Bernoulli", "BitCast", "CausalConvWithState", "CumProd", "ImageDecoder", "LinearAttention",
    "RandomNormal",
    "RandomNormalLike", "RandomUniform", "RandomUniformLike", "RegexFullMatch", "StringConcat", "StringNormalizer",
    "StringSplit",
    "SwiGLU", "TensorScatter",
})  # fmt: skip


def is_fallback(proto: onnx.NodeProto) -> bool:
    """Whether neither the reference nor an adapter knows the op, or this form of it, or it carries a subgraph.

    Raises ModelError where an op of another domain has a form that its adapter does not know: nothing else knows the op
    at all.
    """
    if proto.domain == "com.microsoft" and proto.op_type.startswith(("Q", "MatMulNBits")) and proto.op_type in ADAPTERS:
        if (reason := unmet(proto)) is not None:
            raise ModelError(f"{proto.op_type} with {reason} is not supported")
        return False
    if proto.domain not in ("", "ai.onnx") or any(a.type == onnx.AttributeProto.GRAPH for a in proto.attribute):
        return True
    if not has_meaning(proto.op_type) and proto.op_type not in ADAPTERS and proto.op_type not in _LOWERED:
        return True
    return unmet(proto) is not None


def fallback_node(proto: onnx.NodeProto, node: Node, domains: dict[str, int], name: Callable[[str], str]) -> Node:
    """An `Onnx` node: inputs first as the op has them, then the outer values that its subgraphs capture, by the names
    they have here."""
    if not _is_held(proto, domains):
        raise ModelError(_refusal(proto, node, domains))
    captured = [name(v) for v in _reads(proto)[len(proto.input) :]]
    return Node(
        "Onnx",
        (*node.inputs, *captured),
        node.outputs,
        {
            "op_type": proto.op_type,
            "domain": proto.domain,
            "opset": tuple(f"{d}={v}" for d, v in sorted(domains.items())),
            "proto": proto.SerializeToString(deterministic=True),
        },
        node.name,
    )


def _is_held(proto: onnx.NodeProto, domains: Mapping[str, int]) -> bool:
    if own_meaning(proto, domains) is not None:
        return True
    if proto.domain not in ("", "ai.onnx"):
        return proto.op_type in _HELD_ELSEWHERE.get(proto.domain, ())
    return proto.op_type in HELD | HELD_BY_SUITE or proto.op_type in _BODIES


def _refusal(proto: onnx.NodeProto, node: Node, domains: Mapping[str, int]) -> str:
    label = f"node {node.name!r}"
    if proto.domain not in ("", "ai.onnx"):
        return (
            f"{label}: operator {proto.op_type} of domain {proto.domain!r} is not supported; replace it "
            "before the export"
        )
    if proto.op_type in ADAPTERS or has_meaning(proto.op_type):
        return f"{label} ({proto.op_type}): {unmet(proto) or 'a subgraph'} is not supported"
    return (
        f"{label}: the operator {proto.op_type} of opset {domains.get('', 0)} is not supported; replace it before the "
        "export"
    )


def renamed(proto: onnx.NodeProto, names: Sequence[str], results: Sequence[str]) -> onnx.NodeProto:
    """A copy that reads and writes other values, in the order of an `Onnx` node's; captured ones are renamed in the
    subgraphs."""
    old = _reads(proto)
    copy = onnx.NodeProto()
    copy.CopyFrom(proto)
    copy.input[:] = names[: len(proto.input)]
    copy.output[:] = results
    _rename_captured(copy, {a: b for a, b in zip(old, names, strict=True) if a and a != b})
    return copy


def _rename_captured(proto: onnx.NodeProto, new: Mapping[str, str]) -> None:
    for a in proto.attribute:
        for graph in (a.g, *a.graphs) if a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) else ():
            own = {i.name for i in (*graph.input, *graph.initializer)} | {o for n in graph.node for o in n.output}
            outer = {k: v for k, v in new.items() if k not in own}
            for n in graph.node:
                n.input[:] = [outer.get(i, i) for i in n.input]
                _rename_captured(n, outer)
            for o in graph.output:
                o.name = outer.get(o.name, o.name)


def _reads(proto: onnx.NodeProto) -> list[str]:
    """The op's inputs, then the outer values that its subgraphs capture: the order of an `Onnx` node's inputs."""
    return [*proto.input, *sorted(captures(proto) - set(proto.input))]


@lru_cache(maxsize=256)
def _parsed(data: bytes) -> tuple[onnx.NodeProto, list[str], set[str]]:
    """A node, the order of its inputs, and what its subgraphs capture."""
    proto = onnx.NodeProto.FromString(data)
    return proto, _reads(proto), captures(proto)


def captures(proto: onnx.NodeProto) -> set[str]:
    """Names that the node's subgraphs read from outside."""
    found: set[str] = set()
    for a in proto.attribute:
        for graph in (a.g, *a.graphs) if a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) else ():
            inner = {i.name for i in graph.input} | {i.name for i in graph.initializer}
            for n in graph.node:
                found |= {i for i in (*n.input, *captures(n)) if i and i not in inner}
                inner |= set(n.output)
            found |= {o.name for o in graph.output if o.name not in inner}
    return found


@lru_cache(maxsize=256)
def _evaluator(data: bytes, opsets: tuple[str, ...], names: tuple[str, ...]) -> ReferenceEvaluator | None:
    """None where onnx's reference does not know the op either."""
    from onnx.reference import ReferenceEvaluator  # NOTE: 30 ms that few models need

    proto = onnx.NodeProto.FromString(data)
    inputs = [onnx.helper.make_value_info(n, onnx.TypeProto()) for n in names]
    outputs = [onnx.helper.make_value_info(n, onnx.TypeProto()) for n in proto.output if n]
    graph = onnx.helper.make_graph([proto], "foreign", inputs, outputs)
    imports = [onnx.helper.make_opsetid(*domain_of(o)) for o in opsets]
    try:
        return ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports))
    except (FileNotFoundError, NotImplementedError):
        return None


def _check_size(node: Node, inputs: list[Array | None]) -> None:
    """Raise LimitError where the outputs, as the schema infers them from these inputs, are beyond the limit of
    memory."""
    types = [TensorType(DType.of(a.dtype), a.shape) if isinstance(a, np.ndarray) else None for a in inputs]
    if any(t is None or t.dtype is DType.STRING for t, i in zip(types, node.inputs, strict=True) if i):
        return
    for t in infer(node, types, inputs):
        if t is not None:
            check_memory(
                prod(t.static_shape) * t.dtype.numpy.itemsize, f"node {node.name!r} ({node.operator}): its output"
            )


def evaluate(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Outputs of an `Onnx` node by onnx.reference."""
    proto, reads, captured = _parsed(node.attributes["proto"])
    if proto.op_type in _BODIES:
        own = len(proto.input)
        outer = {n: a for n, a in zip(reads[own:], inputs[own:], strict=True) if a is not None}
        outer |= {n: a for n, a in zip(proto.input, inputs, strict=False) if n in captured and a is not None}
        return _BODIES[proto.op_type](proto, inputs[:own], outer, tuple(node.attributes["opset"]))
    if repeats(proto):  # NOTE: onnx's reference counts no work, so that a loop there may have no end
        raise ModelError(f"node {node.name!r} ({node.operator}): a loop within it is not supported")
    domains = dict(map(domain_of, node.attributes["opset"]))
    if own_meaning(proto, domains) is not None:
        with np.errstate(all="ignore"):
            return evaluate_own(proto, domains, inputs)
    feeds = {n: a for n, a in zip(reads, inputs, strict=False) if n and a is not None}
    _check_size(node, inputs)
    evaluator = _evaluator(node.attributes["proto"], tuple(node.attributes["opset"]), tuple(feeds))
    if evaluator is None:
        where = (
            f"of domain {proto.domain!r}"
            if proto.domain
            else f"in opset {dict(map(domain_of, node.attributes['opset'])).get('')}"
        )
        raise ModelError(
            f"node {node.name!r}: operator {proto.op_type} {where} is not supported; replace it before the export"
        )
    with np.errstate(all="ignore"):  # NOTE: its exp overflows to the right infinity
        results = iter(evaluator.run(None, feeds))
    return [np.asarray(next(results)) if o else np.empty(0) for o in proto.output]
