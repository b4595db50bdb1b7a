"""The law: the slow, obvious meaning of every op, float and integer, and the evaluator that walks a graph."""

from . import (  # noqa: F401  (fill the tables)  # noqa: F401
    blockwise,
    float_conv,
    float_elementwise,
    float_grid,
    float_ordered,
    float_pool,
    float_product,
    float_reduce,
    float_regions,
    float_resize,
    float_select,
    float_shape,
    integer_elementwise,
    integer_mean,
    integer_product,
    recurrent,
    recurrent_float,
)
from .evaluate import evaluate, evaluate_node, is_quantized, set_fallback
from .float_table import FLOAT
from .integer_table import INTEGER
from .shapes import retype, retype_known

__all__ = ["FLOAT", "INTEGER", "evaluate", "evaluate_node", "is_quantized", "retype", "retype_known", "set_fallback"]
