"""Whether every node of a graph is one that has a meaning here, in the form that it asks for."""

from __future__ import annotations

from ..errors import VerifyError
from ..graph import Graph
from ..graph.select_op import SELECT
from ..graph.verify import show
from ..ops import refusal
from ..ops.control import ONNX
from .evaluate import is_quantized
from .float_table import FLOAT
from .integer_table import INTEGER


def check_meanings(graph: Graph) -> Graph:
    """The graph itself. Raises VerifyError with the first node that nothing here computes: of no meaning, or of none in
    its form."""
    for node in graph.nodes:
        if node.op in (SELECT, ONNX):
            continue
        quantized = is_quantized(graph, node)
        if node.op not in (INTEGER if quantized else FLOAT):
            where = " on integers" if quantized else ""
            raise VerifyError(f"{show(node, graph)}: expected an op that has a meaning{where} here, got {node.op}")
        refused = refusal("int8", node, node.op) if quantized else None
        if refused:
            raise VerifyError(f"{show(node, graph)}: no meaning on integers has {refused}")
    return graph
