"""What the kernels of a product can compute behind it, before its result is stored.

1. An int8 product: one sum or difference with a residual of its output's shape, or one lookup table of bytes. A table
   for each channel only of a convolution, and not where the target looks many pixels up at a time: those of one block
   are slower.
2. A float product: a sum with a residual of its output's shape, where the product is a single chain
   (docs/quantization.md, 28), then bounds that are known, finite numbers. A transposed convolution and one channel by
   channel: bounds alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..graph import Array, DType, Node, TensorType
from ..graph.blocks import OP as BLOCKWISE
from ..graph.blocks import blocks_of
from ..graph.type_rules import gemm_form
from ..ops.traits import ADDITIVE, CLAMP, CONVOLUTION
from ..reference.integer_elementwise import addends

Types = Mapping[str, TensorType]
Constants = Mapping[str, Array]
MAX_SUM = 2**30  # what is rounded to int32 must stay below it, and a rounding error more
MOST_TABLES = 16  # channels with tables of their own


def int8_takes(product: Node, after: Sequence[Node], types: Types, constants: Constants, byte_tables: bool) -> bool:
    """Whether an int8 product with constant weights can compute the nodes behind it (rule 1)."""
    if len(after) != 1:
        return not after
    part = after[0]
    read, out = types[product.outputs[0]], types[part.outputs[0]]
    if read.dtype is not DType.U8 or not read.is_quantized or out.dtype is not DType.U8:
        return False
    if part.op == "Lookup":
        return _takes_table(product, part, constants.get(part.inputs[1]), read, byte_tables)
    return (
        part.has(ADDITIVE)
        and len(set(part.inputs)) == 2
        and _takes_sum(part, [types[v] for v in (*part.inputs, *part.outputs)])
    )


def _takes_table(product: Node, part: Node, table: Array | None, read: TensorType, byte_tables: bool) -> bool:
    if table is None or table.ndim == 1:
        return table is not None
    by_channel = product.op == "Conv" and bool(read.rank) and int(part.attr("axis")) % int(read.rank or 1) == 1
    return by_channel and not (byte_tables and len(table) >= MOST_TABLES)


def _takes_sum(part: Node, types: list[TensorType]) -> bool:
    shape = types[2].static_shape
    if any(t.dtype is not DType.U8 or not t.is_quantized or t.static_shape != shape for t in types):
        return False
    m_a, m_b = addends(part, *types)
    return 255 * (abs(float(m_a)) + abs(float(m_b))) < MAX_SUM


def float_takes(product: Node, after: Sequence[Node], types: Types, constants: Constants) -> bool:
    """Whether a float product with constant weights can compute the nodes behind it (rule 2)."""
    first, *others = after if after else (None,)
    if first is not None and first.op == "Add":
        shape = types[first.outputs[0]].static_shape
        floats = all(
            types[v].dtype is DType.F32 and types[v].static_shape == shape for v in first.inputs if v not in constants
        )
        if not floats or len(set(first.inputs) - constants.keys()) != 2 or not _is_one_chain(product, types, constants):
            return False
        first, *others = others or (None,)
    if first is None:
        return True
    return (
        not others and first.has(CLAMP) and first.inputs[0] not in constants and bounds_of(first, constants) is not None
    )


def _is_one_chain(product: Node, types: Types, constants: Constants) -> bool:
    from ..reference.float_product import LONGEST, chain_ranges  # NOTE: where a graph computes with floats

    if product.op == BLOCKWISE:
        return len(chain_ranges(1, 1, blocks_of(types[product.inputs[1]])[1])) == 1
    shape = constants[product.inputs[1]].shape
    if not product.has(CONVOLUTION):
        return len(chain_ranges(1, 1, shape[1] if gemm_form(product).turns_b else shape[0])) == 1
    if product.op != "Conv":
        return False
    _, per_group, *kernel = shape
    rows, columns = (1, *kernel)[-2:]
    depthwise = per_group == 1 and int(product.attr("group")) == types[product.inputs[0]].static_shape[1] == shape[0]
    return not (depthwise and rows * columns <= LONGEST) and len(chain_ranges(rows, columns, per_group)) == 1


def bounds_of(node: Node, constants: Constants) -> tuple[float, float | None] | None:
    """The lower and the upper bound that a Relu or Clip sets, None for no upper one; None where they are not known,
    finite numbers."""
    if node.op == "Relu":
        return 0.0, None
    if node.op != "Clip" or any(i and i not in constants for i in node.inputs[1:]):
        return None
    low, high = [constants[i].reshape(-1) if i else None for i in (*node.inputs[1:], "", "")[:2]]
    if low is None or any(v is not None and (v.size != 1 or not np.isfinite(v).all()) for v in (low, high)):
        return None
    return float(low[0]), None if high is None else float(high[0])
