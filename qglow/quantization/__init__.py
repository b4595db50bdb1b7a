"""From a float graph and what was observed of it to a quantized graph, with an account of every node."""

from .config import QuantConfig
from .convert import Decision, QuantResult, quantize_graph

__all__ = ["Decision", "QuantConfig", "QuantResult", "quantize_graph"]
