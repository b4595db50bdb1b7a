"""Functions of truths: bytes of 0 and 1, which int8's instructions compute on."""

from __future__ import annotations

from math import prod

import numpy as np

from ..graph import Array, DType, Node
from .layout import NO_HALO
from .lower_float import truths
from .lower_pointwise import Fields, Pair, emit_pair, fields_of, loops_nhwc
from .program import TensorView
from .select import Lowering

_RANGE: Fields = {"zero": 0, "low": 0, "high": 1}
_TRUE = np.minimum(np.arange(256), 1).astype(np.uint8)


def both(low: Lowering, node: Node) -> bool:
    """And, Or: the least and the largest."""
    places = [truths(low, i) for i in node.inputs]
    shape = low.type(node.outputs[0]).static_shape
    if any(p is None for p in places) or 0 in shape:
        return False
    a, b = sorted(node.inputs, key=lambda name: -prod(low.type(name).static_shape))
    kind = "min" if node.op == "And" else "max"
    return emit_pair(low, node.outputs[0], Pair(a, b, 1.0, 1.0), kind, {"a_zero": 0, "b_zero": 0, **_RANGE})


def inverted(low: Lowering, node: Node) -> bool:
    """Not."""
    x = truths(low, node.inputs[0])
    return x is not None and _looked_up(low, node, x, 1 - _TRUE)


def cast(low: Lowering, node: Node) -> bool:
    """Integers to truths, and truths to float32."""
    x, to = low.places.get(node.inputs[0]), low.type(node.outputs[0]).dtype
    if x is None or 0 in x.shape:
        return False
    if to is DType.F32 and x.dtype == "|b1":
        return _as_floats(low, node, x)
    if to is not DType.BOOL or np.dtype(x.dtype).kind not in "iu":
        return False
    return _looked_up(low, node, _bytes_joined(low, node.inputs[0]), _TRUE)


def _bytes_joined(low: Lowering, name: str) -> TensorView:
    """The largest byte of each integer, which is 0 of a 0 alone: the bytes of one place one behind the other, so that
    integers lie side by side."""
    x = low.dense_of(name)
    item, count = x.itemsize, prod(x.shape)
    if item == 1:
        return x
    apart, together = low.dense((item, count), "|u1"), low.dense(x.shape, "|u1")
    low.move(x._replace(shape=(item, count), strides=(1, item), dtype="|u1", halo=NO_HALO), apart)
    rows = apart._replace(shape=(1, count, item, 1), strides=(item * count, 1, count, count))
    one = together._replace(shape=(1, count, 1, 1), strides=(count, 1, count, count))
    window: Fields = {"KH": item, "KW": 1, "SH": 1, "SW": 1, "DH": 1, "DW": 1, "IH": item, "IW": 1, "top": 0, "left": 0}
    low.emit_image("max_pool2d", rows, one, **window)
    return together


def _looked_up(low: Lowering, node: Node, x: TensorView, table: Array) -> bool:
    places: dict[str, TensorView | None] = {"scratch": None}
    return _emit(low, node, x, "lookup", places, {"table": low.constant(table)}, {"t_c": 0})


def _as_floats(low: Lowering, node: Node, x: TensorView) -> bool:
    return _emit(low, node, x, "dequantize", {}, {}, {"x_zero": 0, "f_scale": 1.0, "y_c": 4})


def _emit(
    low: Lowering,
    node: Node,
    x: TensorView,
    kind: str,
    places: dict[str, TensorView | None],
    constants: dict[str, int],
    fields: Fields,
) -> bool:
    """An instruction of one operand, element by element, through a copy of what is repeated."""
    x = low.copied(x) if any(s <= 0 and d > 1 for s, d in zip(x.strides, x.shape, strict=True)) else x
    y = low.place(node.outputs[0], like=x)
    loops = loops_nhwc(low, y, x)
    if loops is None:
        low.deallocate(node.outputs[0])
        return False
    low.emit(kind, {"x": x, "y": y, **places}, constants, {**fields_of(loops, "yx"), **fields})
    return True
