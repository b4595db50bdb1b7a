"""MatMul by a constant [K, N] or BlockwiseMatMul, then Add of a constant [N]: the sum becomes the product's input
`bias`."""

from __future__ import annotations

from ..graph import TensorType
from ..graph.pattern import Match, constant, op, value
from ..graph.rewrite import Replacement, Rewrite, Rewrites
from ..graph.type_rules import channel_axis
from ..ops.traits import ROW_PRODUCT


def _is_matrix_without_bias(m: Match) -> bool:
    product = m.node("product")
    return m.constant("w").ndim == 2 and not product.input(len(product.definition.operands) - 1)


def _with_bias(m: Match) -> Replacement:
    product, bias, rank = m.node("product"), m.constant("bias"), m.graph.types[m.node("product").outputs[0]].rank
    axis = channel_axis(product, 2)
    columns = None if axis is None else m.constant("w").shape[axis]
    if rank is None or bias.ndim > rank or bias.size != columns or bias.shape[-1:] != (columns,):
        return None
    flat = m.add_constant(f"{m.root.outputs[0]}.bias", bias.reshape(-1), TensorType(m.type("bias").dtype, (bias.size,)))
    inputs = (*product.inputs, "", "")[: len(product.definition.operands) - 1]
    return product.with_(inputs=(*inputs, flat), outputs=m.root.outputs)


_PRODUCT = op(ROW_PRODUCT, value("x"), constant("w"), name="product", where=_is_matrix_without_bias)

fuse_matmul_bias = Rewrites("fuse_matmul_bias", Rewrite("bias", op("Add", _PRODUCT, constant("bias")), _with_bias))
