"""LSTM with int8 weights: one product for the inputs of all steps, then for each step a product of the state and a
cell."""

from __future__ import annotations

import numpy as np

from ..graph import Array, DType, Node, Quant, TensorType
from ..reference.arithmetic import product_scale
from ..reference.recurrent import STATE_SCALE, STATE_ZERO
from ..reference.recurrent_layer import directions
from . import products
from .constant_data import data_of
from .lower_product import INT8, NO_POST, terms_fit
from .products import UNIT, Factors, Target
from .program import TensorView
from .select import Lowering


def lstm(low: Lowering, node: Node) -> bool:
    w, r, bias = (low.graph.constants.get(i) for i in node.inputs[1:4])
    t = low.type(node.inputs[0])
    if w is None or r is None or bias is None or t.dtype is not DType.U8 or not t.is_quantized:
        return False
    steps, batch, width = t.static_shape
    quants = [q for v in node.inputs[:3] if (q := low.type(v).quant) is not None]
    if not terms_fit(max(w.shape[1], r.shape[1])):
        return low.refuse("a sum of its products could leave int32")
    hidden, sides = r.shape[1], directions(node)
    x = low.dense_of(node.inputs[0])
    rows = TensorView(
        x.buffer,
        x.start,
        (1, width, 1, steps * batch),
        (steps * batch * width, 1, steps * batch * width, width),
        x.dtype,
    )
    gx = floats(low, steps * batch, len(w))
    INT8.product(low, node, rows, Target(gx, NO_POST), low.derived(_of_inputs, w, *quants[:2]), dict(UNIT))
    y = rows_place(low, node.outputs[0])
    for d, backwards in enumerate(sides):
        state, c, h = begin(low, node, d, batch, hidden)
        w, zero, scale, added = low.derived(_of_states, r, bias, quants[2], d)
        shift = low.keep(added)
        t_first, first = steps - 1 if backwards else 0, len(low.steps)
        gh = floats(low, batch, 4 * hidden)
        INT8.product(low, node, state, Target(gh, NO_POST), Factors(w, w, zero, scale), dict(UNIT))
        if y is not None:
            h = y.part(0, t_first, 1).part(1, d, 1)
            h = TensorView(y.buffer, h.start, (batch, hidden), y.strides[2:], y.dtype)
        cell(low, gx, gh, c, h, state, shift, t_first * batch, d * 4 * hidden)
        moves = {"gx": gx.strides[3] * batch} | ({} if y is None else {"y": y.strides[0]})
        low.repeat(first, steps, ({}, {name: -by if backwards else by for name, by in moves.items()}))
        if y is not None:
            h = h._replace(start=h.start + (steps - 1) * (-y.strides[0] if backwards else y.strides[0]))
        for slot, final in ((1, h), (2, c)):
            if len(node.outputs) > slot and node.outputs[slot]:
                output = low.place(node.outputs[slot])
                low.move(
                    final,
                    TensorView(
                        output.buffer, output.part(0, d, 1).start, (batch, hidden), output.strides[1:], output.dtype
                    ),
                )
    put_rows(low, y, node.outputs[0])
    return True


def _of_inputs(w: Array, x: Quant, quant: Quant) -> Factors:
    """Of the product of the inputs."""
    scale = product_scale(TensorType(DType.U8, None, x), TensorType(DType.I8, None, quant))
    columns = products.of_columns(w.T)
    return Factors(columns, columns, -x.z * w.astype(np.int64).sum(1), scale.reshape(-1))


def _of_states(r: Array, bias: Array, quant: Quant, d: int) -> tuple[Array, Array, Array, bytes]:
    """Weights, bias and scale of the product of a direction's state, and what is added behind it."""
    count = 4 * r.shape[1]
    gates = slice(d * count, (d + 1) * count)
    scale = np.broadcast_to((STATE_SCALE * np.array(quant.scale, np.float32)).astype(np.float32), (len(r),))
    w, zero = r[gates], -STATE_ZERO * r[gates].astype(np.int64).sum(1)
    return products.of_columns(w.T), zero, scale[gates], data_of(bias[gates].astype(np.float32))


def floats(low: Lowering, rows: int, columns: int) -> TensorView:
    """A new matrix of float32, as an image of one row."""
    dense = low.dense((rows, columns), "<f4")
    return TensorView(
        dense.buffer, 0, (1, columns, 1, rows), (4 * rows * columns, 4, 4 * rows * columns, 4 * columns), "<f4"
    )


def rows_place(low: Lowering, name: str) -> TensorView | None:
    """Where kernels of cells write all states of a layer, whose units they write densely: the place of the output, or a
    new one where that is an image; None where there is no such output."""
    place = low.place(name) if name else None
    if place is None or place.strides[-1] == np.dtype(place.dtype).itemsize:
        return place
    return low.dense(place.shape, place.dtype)


def put_rows(low: Lowering, y: TensorView | None, name: str) -> None:
    """Bring what `rows_place` gave to the place of the output."""
    if y is not None and y.buffer != low.place(name).buffer:
        low.move(y, low.place(name))


def begin(low: Lowering, node: Node, d: int, batch: int, hidden: int) -> tuple[TensorView, TensorView, TensorView]:
    """The state's bytes as an image of one row, the cell state, and a place for h: filled from the node's inputs or
    with zeros."""
    q, c, h = low.dense((batch, hidden), "|u1"), low.dense((batch, hidden), "<f4"), low.dense((batch, hidden), "<f4")
    size = batch * hidden
    for slot, to, value in ((4, q, STATE_ZERO), (5, c, 0)):
        source = start(low, node.input(slot), d)
        flat = TensorView(to.buffer, 0, (low.room(to),), (1,), "|u1")
        if source is None:
            low.emit("fill", {"y": flat}, {}, {"C": low.room(to), "value": value})
        elif slot == 4:
            runs = {
                "N": 1,
                "H": batch,
                "W": 1,
                "C": hidden,
                "P": hidden,
                "x_n": 0,
                "x_w": 0,
                "y_n": 0,
                "y_w": 0,
                "x_c": 4,
            }
            scale = {"f_scale": float(STATE_SCALE), "zero": STATE_ZERO, "low": 0, "high": 255}
            low.emit("quantize", {"x": source, "y": to}, {}, {**runs, "x_h": 4 * hidden, "y_h": hidden, **scale})
        else:
            low.move(source, to)
    return TensorView(q.buffer, 0, (1, hidden, 1, batch), (size, 1, size, hidden), "|u1"), c, h


def start(low: Lowering, name: str, d: int) -> TensorView | None:
    """An initial state [batch, hidden] of one direction, dense; None where it is omitted."""
    if not name:
        return None
    array: Array | None = low.graph.constants.get(name)
    if array is not None and name not in low.places:
        low.constant_place(name, array.astype(np.float32))
    view = low.dense_of(name)
    return TensorView(view.buffer, view.start + d * view.strides[0], view.shape[1:], view.strides[1:], view.dtype)


def cell(
    low: Lowering,
    gx: TensorView,
    gh: TensorView,
    c: TensorView,
    h: TensorView,
    state: TensorView,
    bias: int,
    row: int,
    column: int,
) -> None:
    batch, hidden = c.shape
    at = TensorView(
        gx.buffer, gx.start + row * gx.strides[3] + 4 * column, (batch, 4 * hidden), (gx.strides[3], 4), gx.dtype
    )
    fields: dict[str, int | float] = {"N": batch, "C": hidden, "gx_b": gx.strides[3], "gh_b": gh.strides[3]}
    fields |= {"c_in_b": c.strides[0], "c_b": c.strides[0], "y_b": h.strides[0], "q_b": state.strides[3]}
    low.emit("lstm_cell", {"gx": at, "gh": gh, "c_in": c, "c": c, "y": h, "q": state}, {"bias": bias}, fields)
