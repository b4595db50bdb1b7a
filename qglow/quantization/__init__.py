"""From a float graph and what was observed of it to a quantized graph, with an account of every node."""

from collections.abc import Mapping

from ..graph import Graph
from ..profiling.observers import Observer
from .config import QuantConfig
from .passes import PASSES, run_passes
from .state import Decision, QuantState

__all__ = ["PASSES", "Decision", "QuantConfig", "QuantState", "quantize_graph", "run_passes"]


def quantize_graph(graph: Graph, observed: Mapping[str, Observer], config: QuantConfig) -> QuantState:
    """Quantize a simplified float graph by what was observed of its values (names as in the graph)."""
    return run_passes(QuantState(graph, graph, observed, config))
