"""Boundary ops, sums, products, tables, pools."""

from __future__ import annotations

import numpy as np

from ..graph import Kind, Node
from ..reference.arithmetic import bounds
from ..reference.float_pool import nearest_indices, resize_geometry
from ..reference.integer_elementwise import addends, factor
from ..reference.integer_mean import ratio
from ..reference.windows import Window
from .lower import Lowering, as_rows, conv_halo, rule
from .program import Place


def limits(low: Lowering, node: Node) -> dict[str, int | float]:
    t = low.type(node.outputs[0])
    assert t.quant is not None
    qmin, qmax = bounds(node, t)
    return {"f_zero": float(t.quant.z), "f_low": float(qmin), "f_high": float(qmax)}


def image_of(place: Place) -> Place | None:
    """The place as an image that kernels take: channels-last, or dense as rows."""
    return place if place.is_channels_last else as_rows(place)


@rule("Quantize")
def quantize(low: Lowering, node: Node) -> bool:
    x, out = low.places.get(node.inputs[0]), node.outputs[0]
    if x is None or low.type(out).kind is not Kind.U8 or x.dtype != "<f4":
        return False
    quant = low.type(out).quant
    assert quant is not None
    y = low.place(out)
    fields = {"f_scale": float(quant.s), **limits(low, node)}
    if y.is_channels_last:
        low.emit_image("quantize", x, y, x_c=x.strides[1], **fields)
        low.written(out)
        return True
    flat = [as_rows(p) for p in (x, y)]
    if flat[0] is None or flat[1] is None:
        return False
    low.emit_image("quantize", flat[0], flat[1], x_c=4, **fields)
    return True


@rule("Dequantize")
def dequantize(low: Lowering, node: Node) -> bool:
    x, out = low.places[node.inputs[0]], node.outputs[0]
    quant = low.type(node.inputs[0]).quant
    if low.type(node.inputs[0]).kind is not Kind.U8 or quant is None or quant.axis is not None:
        return False
    y = low.place(out)
    fields = {"x_zero": quant.z, "f_scale": float(quant.s)}
    if x.is_channels_last:
        low.emit_image("dequantize", x, y, y_c=y.strides[1], **fields)
        return True
    flat_x, flat_y = as_rows(x), as_rows(y)
    if flat_x is None or flat_y is None:
        low.program.buffers.remove(y.buffer)
        return False
    low.emit_image("dequantize", flat_x, flat_y, y_c=4, **fields)
    return True


@rule("Lookup")
def lookup(low: Lowering, node: Node) -> bool:
    if low.type(node.inputs[0]).kind is not Kind.U8 or low.type(node.outputs[0]).kind is not Kind.U8:
        return False
    table, rank = low.graph.constants[node.inputs[1]], low.type(node.inputs[0]).rank
    x = image_of(low.places[node.inputs[0]])
    axis = int(node.attr("axis", 1))
    if x is None or rank is None or (table.ndim == 2 and axis != (1 if rank == 4 else rank - 1)):
        return False
    low.place(node.outputs[0])
    y = image_of(low.places[node.outputs[0]])
    assert y is not None
    low.emit_image("lookup", x, y, {"table": low.constant(table)}, t_c=256 if table.ndim == 2 else 0)
    low.written(node.outputs[0])
    return True


@rule("Add", "Sub", "Mul")
def binary(low: Lowering, node: Node) -> bool:
    types = [low.type(v) for v in (*node.inputs, *node.outputs)]
    if any(t.kind is not Kind.U8 or not t.is_quantized for t in types):
        return False
    a, b = node.inputs
    m_a, m_b = addends(node, *types) if node.op != "Mul" else (factor(*types), factor(*types))
    shape = types[2].static_shape
    if types[0].static_shape != shape:
        a, b, m_a, m_b = b, a, m_b, m_a
    pa, pb = image_of(low.places[a]), image_of(low.places[b])
    same = types[0].static_shape == types[1].static_shape
    if pa is None or pb is None or low.type(a).static_shape != shape or (not same and (pa.shape != shape or len(pb.shape) != 4)):
        return False
    if not same and len(low.type(b).static_shape) != 4:
        return False
    low.place(node.outputs[0])
    y = image_of(low.places[node.outputs[0]])
    assert y is not None
    n, c, h, w = y.shape
    repeat = [0 if d == 1 and e != 1 else s for d, e, s in zip(pb.shape, y.shape, pb.strides, strict=True)]
    fields: dict[str, int | float] = {
        "N": n, "H": h, "W": w, "C": c, "x_n": pa.strides[0], "x_h": pa.strides[2], "x_w": pa.strides[3],
        "b_n": repeat[0], "b_h": repeat[2], "b_w": repeat[3], "b_c": 0 if repeat[1] == 0 and c > 1 else 1,
        "y_n": y.strides[0], "y_h": y.strides[2], "y_w": y.strides[3],
        "a_zero": low.zero(a), "b_zero": low.zero(b), "f_a": float(m_a), **limits(low, node),
    }  # fmt: skip
    kind = "mul" if node.op == "Mul" else "add"
    if kind == "add":
        fields["f_b"] = float(m_b)
    low.emit(kind, {"a": pa, "b": pb, "y": y}, {}, fields)
    low.written(node.outputs[0])
    return True


@rule("MaxPool")
def max_pool(low: Lowering, node: Node) -> bool:
    x_type = low.type(node.inputs[0])
    if x_type.kind is not Kind.U8 or x_type.rank != 4:
        return False
    x = low.bordered(node.inputs[0], conv_halo(low.graph, node), 0)
    win = Window.of(node, x.shape[2:], node.attr("kernel_shape"))
    y = low.place(node.outputs[0])
    corner = Place(x.buffer, x.start - win.begin[0] * x.strides[2] - win.begin[1] * x.strides[3], x.shape, x.strides, x.dtype)
    low.emit_image("max_pool2d", corner, y, **window_fields(win))
    low.written(node.outputs[0])
    return True


def window_fields(win: Window) -> dict[str, int | float]:
    pairs = (("KH", "KW", win.kernel), ("SH", "SW", win.strides), ("DH", "DW", win.dilations))
    return {name: v for a, b, values in pairs for name, v in ((a, values[0]), (b, values[1]))}


@rule("AveragePool", "GlobalAveragePool", "ReduceMean")
def average(low: Lowering, node: Node) -> bool:
    x_type, y_type = low.type(node.inputs[0]), low.type(node.outputs[0])
    shape = x_type.static_shape
    if x_type.kind is not Kind.U8 or len(shape) != 4 or not low.places[node.inputs[0]].is_channels_last or node.attr("ceil_mode", 0):
        return False
    if node.op == "ReduceMean":
        axes = low.graph.constants.get(node.input(1))
        if axes is None or sorted(int(a) % 4 for a in axes.ravel()) != [2, 3] or not node.attr("keepdims", 1):
            return False
    local = node.op == "AveragePool"
    win = Window.of(node, shape[2:], node.attr("kernel_shape")) if local else Window(shape[2:], (1, 1), (1, 1), (0, 0), (0, 0))
    if node.attr("count_include_pad", 0) and any((*win.begin, *win.end)):
        return False
    x, y = low.places[node.inputs[0]], low.place(node.outputs[0], channels_last=True)
    if y_type.quant is None:
        assert x_type.quant is not None
        fields: dict[str, int | float] = {"f_ratio": float(x_type.quant.s), "f_zero": 0.0, "f_low": 0.0, "f_high": 0.0, "y_f32": 1}
    else:
        fields = {"f_ratio": float(ratio(x_type, y_type)), **limits(low, node), "y_f32": 0}
    low.emit_image("avg_pool2d", x, y, **window_fields(win), IH=shape[2], IW=shape[3], top=win.begin[0], left=win.begin[1], include=0,
                   x_zero=low.zero(node.inputs[0]), **fields)  # fmt: skip
    low.written(node.outputs[0])
    return True


@rule("Resize")
def resize(low: Lowering, node: Node) -> bool:
    x_type = low.type(node.inputs[0])
    if x_type.kind is not Kind.U8 or x_type.rank != 4 or node.attr("mode", "nearest") != "nearest":
        return False
    x = low.places[node.inputs[0]]
    constants = [low.graph.constants.get(i) if i else None for i in node.inputs[1:]]
    geometry = resize_geometry(node, [np.broadcast_to(np.zeros(()), x.shape), *constants])
    if geometry[0][0] != geometry[0][1] or geometry[1][0] != geometry[1][1] or not x.is_channels_last:
        return False
    y = low.place(node.outputs[0])
    rows, columns = (nearest_indices(node, *geometry[k]).astype(np.int32) for k in (2, 3))
    low.emit_image("resize_nearest", x, y, {"rows": low.constant(rows), "columns": low.constant(columns)})
    low.written(node.outputs[0])
    return True
