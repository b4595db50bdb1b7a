"""The law: the slow, obvious meaning of every op, float and integer, and the evaluator that walks a graph."""

from .evaluate import bind_node, evaluate, evaluate_node, is_quantized
from .float_table import FLOAT
from .integer_table import INTEGER
from .shapes import MEANING, retype, retype_known
from .written import bind_written

__all__ = [
    "FLOAT", "INTEGER", "MEANING", "bind_node", "bind_written", "evaluate", "evaluate_node", "is_quantized", "retype",
    "retype_known",
]  # fmt: skip
