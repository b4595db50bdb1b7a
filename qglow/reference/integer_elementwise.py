"""Integer meaning of boundary ops, sums, products, tables, and of every op that only moves data."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node, TensorType
from ..ops.traits import ADDITIVE
from .arithmetic import F32, dequantize, minus_zero_point, quantize, requantize
from .float_conv import given
from .float_table import FLOAT
from .integer_product import Types, _typed


def move(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    """Integers move unchanged; input and output have the same parameters. Pad's value is its quantized third input."""
    return [a.astype(t.dtype.numpy, copy=False) for a, t in zip(FLOAT[node.op](node, inputs), outputs, strict=False)]


def shape_op(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    """Integers have the shape of the reals that they stand for."""
    return FLOAT[node.op](node, inputs)


def quantize_op(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    return [quantize(given(inputs, 0), outputs[0])]


def dequantize_op(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    return [dequantize(given(inputs, 0), _typed(types, 0))]


def addends(node: Node, a: TensorType, b: TensorType, y: TensorType) -> tuple[np.float32, np.float32]:
    """(8) m_a = f32(s_a / s_y), m_b = f32(s_b / s_y), negated for Sub."""
    assert a.quant is not None and b.quant is not None and y.quant is not None
    m_b = F32(b.quant.s / y.quant.s)
    return F32(a.quant.s / y.quant.s), F32(-m_b) if node.op == "Sub" else m_b


def scaled(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    """(9) C(rint(f(f32(a - z_a) * m_a, f32(b - z_b) * m_b)) + z_y), f the float meaning of the op; a Sub is a sum."""
    pair = _typed(types, 0), _typed(types, 1)
    factors = addends(node, *pair, outputs[0])
    reals: list[Array | None] = [
        minus_zero_point(given(inputs, k), t).astype(F32) * m
        for k, (t, m) in enumerate(zip(pair, factors, strict=True))
    ]
    op = "Add" if node.has(ADDITIVE) else node.op
    return [requantize(FLOAT[op](node, reals)[0], node, outputs[0])]


def factor(a: TensorType, b: TensorType, y: TensorType) -> np.float32:
    """(10) m = f32(f32(s_a * s_b) / s_y) of a Mul."""
    assert a.quant is not None and b.quant is not None and y.quant is not None
    return F32(F32(a.quant.s * b.quant.s) / y.quant.s)


def mul(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    """(11) C(rint(f32((a - z_a) (b - z_b)) * m) + z_y)."""
    ta, tb = _typed(types, 0), _typed(types, 1)
    product = minus_zero_point(given(inputs, 0), ta, np.int64) * minus_zero_point(given(inputs, 1), tb, np.int64)
    return [requantize(product.astype(F32) * factor(ta, tb, outputs[0]), node, outputs[0])]


def lookup(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    """(12) table[x], or table[c, x] with c the index along `axis`. The table's position is the stored integer minus the
    dtype's least."""
    x, table = given(inputs, 0), given(inputs, 1)
    index = x.astype(np.int32) - _typed(types, 0).limits()[0]
    if table.ndim == 1:
        return [table[index]]
    shape = [1] * x.ndim
    shape[int(node.attr("axis"))] = -1
    return [table[np.arange(table.shape[0]).reshape(shape), index]]


def arg_max(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    return FLOAT["ArgMax"](node, inputs)
