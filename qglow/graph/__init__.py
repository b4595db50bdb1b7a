"""The typed graph and its text form, verifier and op table. It knows of no file format and of no kernel."""

from .graph import Array, Attribute, Graph, GraphBuilder, Node
from .types import Dim, DType, Quant, Shape, TensorType, float_type

__all__ = [
    "Array",
    "Attribute",
    "Dim",
    "Graph",
    "GraphBuilder",
    "DType",
    "Node",
    "Quant",
    "Shape",
    "TensorType",
    "float_type",
]
