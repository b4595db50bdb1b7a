"""A model that is already quantized (QDQ): its Quantize/DequantizeLinear nodes run as they are, in float between them."""

from __future__ import annotations

from ..errors import ConfigError
from ..graph import Graph
from .convert import Decision, QuantResult


def recover(graph: Graph) -> QuantResult:
    """The graph as it is, with the account of its nodes. Raises ConfigError where the model holds no quantized node."""
    if not any(n.op in ("QuantizeLinear", "DequantizeLinear") for n in graph.nodes):
        raise ConfigError("the model is not quantized yet: give a profile (make one with `qglow profile MODEL.onnx --data DATA`)")
    reason = "the model came quantized: its own Quantize and Dequantize nodes are kept"
    return QuantResult(graph, tuple(Decision(n.name, n.op, "float", reason) for n in graph.nodes))
