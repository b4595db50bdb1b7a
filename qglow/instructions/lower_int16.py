"""What computes on int16 element by element, and pools. Products are in lower_int16_product.py; moves treat int16 as
any other."""

from __future__ import annotations

import numpy as np

from ..graph import DType, Node
from ..reference.arithmetic import bounds
from ..reference.float_resize import nearest_indices, resize_geometry
from ..reference.integer_mean import ratio
from ..reference.windows import Window
from .layout import conv_window, window_fields
from .lower_pointwise import Fields, emit_pair, fields_of, loops_nhwc, pair_of
from .lower_window import full_window
from .program import TensorView
from .select import Lowering

MOST_SUMMED = 65535  # elements whose sum int32 holds


def limits(low: Lowering, node: Node) -> Fields:
    """Fields of what stores a node's output: its zero point and limits, and the bytes of an element."""
    y = low.type(node.outputs[0])
    if y.quant is None:
        return {"q_zero": 0, "q_low": 0, "q_high": 0, "y_item": 4}
    qmin, qmax = bounds(node, y)
    return {"q_zero": y.quant.z, "q_low": qmin, "q_high": qmax, "y_item": y.dtype.numpy.itemsize}


def takes_int16(low: Lowering, node: Node, *inputs: str) -> bool:
    """Whether these inputs are int16 with a place, and the output is one that kernels make."""
    y = low.type(node.outputs[0])
    known = all(i in low.places and low.type(i).is_int16 for i in inputs)
    return known and (y.quant is None or y.dtype in (DType.U8, DType.I16))


def are_finite(*numbers: float) -> bool:
    return bool(np.isfinite(np.array(numbers, np.float64)).all())


def quantize(low: Lowering, node: Node) -> bool:
    name, out = node.inputs[0], node.outputs[0]
    x, t = low.places.get(name), low.type(out)
    if x is None or x.dtype != "<f4" or t.quant is None:
        return False
    y = low.place(out, like=x)
    low_, high = bounds(node, t)
    fields: Fields = {"f_scale": float(t.quant.s), "q_low": low_, "q_high": high}
    if len(y.shape) in (3, 4) and y.is_channels_last and y.shape[1] > 1:
        image = x.as_image()
        low.emit_image("int16_quantize", image, y.as_image(), x_c=image.strides[1], **fields)
        return True
    loops = loops_nhwc(y, x)
    if loops is None:
        x = low.dense_of(name)
        loops = loops_nhwc(y, x)
    if loops is None:
        return False
    low.emit("int16_quantize", {"x": x, "y": y}, {}, {**fields_of(loops, "yx"), "x_c": 4, **fields})
    return True


def dequantize(low: Lowering, node: Node) -> bool:
    name, t = node.inputs[0], low.type(node.inputs[0])
    if name not in low.places or t.quant is None:
        return False
    x = low.places[name]
    y, scale = low.place(node.outputs[0]), float(t.quant.s)
    loops = loops_nhwc(y, x)
    if loops is None and len(x.shape) in (3, 4) and (x.is_channels_last or y.is_channels_last):
        image_x, image_y = (x if x.is_channels_last else low.image_of(name)).as_image(), y.as_image()
        low.emit_image("int16_dequantize", image_x, image_y, y_c=image_y.strides[1], f_scale=scale)
        return True
    if loops is None:
        x = low.dense_of(name)
        loops = loops_nhwc(y, x)
    if loops is None:
        return low.refuse("its result lies in no order that it could be written in")
    low.emit("int16_dequantize", {"x": x, "y": y}, {}, {**fields_of(loops, "yx"), "y_c": 4, "f_scale": scale})
    return True


def binary(low: Lowering, node: Node) -> bool:
    pair = pair_of(low, node) if takes_int16(low, node, *node.inputs) else None
    if pair is None or not are_finite(pair.f_a, pair.f_b):
        return False
    return emit_pair(low, node, pair, "int16_", limits(low, node))


def lookup(low: Lowering, node: Node) -> bool:
    dtypes, table = [low.type(v).dtype for v in (node.inputs[0], node.outputs[0])], low.graph.constants[node.inputs[1]]
    if node.inputs[0] not in low.places or any(k not in (DType.U8, DType.I16) for k in dtypes) or table.ndim != 1:
        return False
    x = low.places[node.inputs[0]]
    y = low.place(node.outputs[0], like=x)
    loops = loops_nhwc(y, x)
    if loops is None:
        x = low.image_of(node.inputs[0]) if y.is_channels_last else low.dense_of(node.inputs[0])
        x = x.as_ncw() if len(y.shape) == 3 and len(x.shape) == 4 else x
        loops = loops_nhwc(y, x)
        if loops is None:
            return False
    items = {"x_item": x.itemsize, "y_item": y.itemsize}
    low.emit("int16_lookup", {"x": x, "y": y}, {"table": low.constant(table)}, {**fields_of(loops, "yx"), **items})
    return True


def max_pool(low: Lowering, node: Node) -> bool:
    if not takes_int16(low, node, node.inputs[0]) or low.type(node.inputs[0]).rank not in (3, 4):
        return False
    x = low.image_of(node.inputs[0])
    win = conv_window(low.graph, node)[1] if node.op == "MaxPool" else full_window(x.shape[2:])
    y = low.place(node.outputs[0], channels_last=True).as_image()
    low.emit_image(
        "int16_max_pool2d",
        x,
        y,
        **window_fields(win),
        IH=x.shape[2],
        IW=x.shape[3],
        top=win.begin[0],
        left=win.begin[1],
    )
    return True


def average_pool(low: Lowering, node: Node) -> bool:
    if not takes_int16(low, node, node.inputs[0]) or low.type(node.inputs[0]).rank not in (3, 4):
        return False
    win = None
    if node.op == "AveragePool":
        _, win = conv_window(low.graph, node)
        if node.attr("count_include_pad") and (node.attr("ceil_mode") or any((*win.begin, *win.end))):
            return False
    x = low.image_of(node.inputs[0])
    y = low.place(node.outputs[0], channels_last=True).as_image()
    return mean(low, node, x, y, win or full_window(x.shape[2:]))


def mean(low: Lowering, node: Node, x: TensorView, y: TensorView, win: Window) -> bool:
    x_type, y_type = low.type(node.inputs[0]), low.type(node.outputs[0])
    assert x_type.quant is not None
    with np.errstate(all="ignore"):
        m = float(x_type.quant.s if y_type.quant is None else ratio(x_type, y_type))
    if int(np.prod(win.kernel)) > MOST_SUMMED or not are_finite(m):
        return low.refuse(f"int32 does not hold a sum of {int(np.prod(win.kernel))} elements of 16 bits")
    low.emit_image("int16_avg_pool2d", x, y, **window_fields(win), IH=x.shape[2], IW=x.shape[3], top=win.begin[0],
        left=win.begin[1],
                   include=0, f_ratio=m, **limits(low, node))  # fmt: skip
    return True


def resize(low: Lowering, node: Node) -> bool:
    """Nearest alone: pixels move as bytes."""
    t = low.type(node.inputs[0])
    if node.attr("mode") != "nearest" or t.rank != 4 or not takes_int16(low, node, node.inputs[0]):
        return False
    constants = [low.graph.constants.get(i) if i else None for i in node.inputs[1:]]
    geometry = resize_geometry(node, t.static_shape, [None, *constants])
    if not all(axis.same for axis in geometry[:2]):
        return False
    x, y = low.image_of(node.inputs[0]), low.place(node.outputs[0], channels_last=True)
    rows, columns = (nearest_indices(node, geometry[k]).astype(np.int32) for k in (2, 3))
    tables = {"rows": low.constant(rows), "columns": low.constant(columns)}
    low.emit_image("resize_nearest", x, y, tables, C=x.itemsize * x.shape[1])
    return True
