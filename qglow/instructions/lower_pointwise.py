"""Boundary ops, sums, products and tables, of bytes and of int16."""

from __future__ import annotations

from math import prod

import numpy as np

from ..graph import DType, Node
from ..ops.traits import ADDITIVE, JOINTLY_HOMOGENEOUS
from ..record import NamedTuple
from ..reference.arithmetic import bounds
from ..reference.integer_elementwise import addends, factor
from .coalesce_dims import Loop, coalesce_dims, padded, rows_for_threads
from .program import TensorView
from .select import Lowering
from .table import INSTRUCTIONS

Fields = dict[str, int | float]
MAX_ROUNDED = 2**30  # what is rounded to int32 must stay below it
INT8, INT16 = "", "int16_"  # what the names of instructions of bytes, and of int16, begin with


def limits(low: Lowering, node: Node) -> Fields:
    t = low.type(node.outputs[0])
    assert t.quant is not None
    qmin, qmax = bounds(node, t)
    return {"zero": t.quant.z, "low": qmin, "high": qmax}


def int16_limits(low: Lowering, node: Node) -> Fields:
    """The same of what instructions of int16 store: they clamp floats, and say the bytes of an element."""
    y = low.type(node.outputs[0])
    if y.quant is None:
        return {"q_zero": 0, "q_low": 0, "q_high": 0, "y_item": 4}
    return {**{f"q_{name}": v for name, v in limits(low, node).items()}, "y_item": y.dtype.numpy.itemsize}


def form_of(low: Lowering, node: Node, *inputs: str) -> str | None:
    """INT8 or INT16: what instructions of such inputs, which are quantized per tensor and have a place, and of such an
    output there are. None: none."""
    types, y = [low.type(i) for i in inputs], low.type(node.outputs[0])
    if any(i not in low.places for i in inputs) or any(t.quant is None or t.quant.axis is not None for t in types):
        return None
    if all(t.dtype is DType.U8 for t in types) and y.dtype in (DType.U8, DType.F32):
        return INT8
    stored = y.quant is None or y.dtype in (DType.U8, DType.I16)
    return INT16 if stored and all(t.is_int16 for t in types) else None


def fitting(kind: str, fields: Fields) -> Fields:
    """Those of the fields that an instruction has."""
    return {name: value for name, value in fields.items() if name in INSTRUCTIONS[kind].fields}


def are_finite(*numbers: float) -> bool:
    return bool(np.isfinite(np.array(numbers, np.float64)).all())


def is_u8(low: Lowering, *names: str) -> bool:
    return all(low.type(n).dtype is DType.U8 and low.type(n).is_quantized for n in names)


def loops_nhwc(
    low: Lowering, y: TensorView, *others: TensorView, repeat: bool = False, keep_last: bool = False
) -> list[Loop] | None:
    """Loops N, H, W and a run of adjacent elements over operands of one shape. repeat: the last operand may stand still
    along the run.

    Operands' item sizes may differ; None where the run is not adjacent or the loops are too many.
    """
    operands = (y, *others)
    loops = coalesce_dims(y.shape, [p.strides for p in operands], keep_last)
    if not loops:
        loops = [(1, tuple(p.itemsize for p in operands))]
    steps = loops[-1][1]
    adjacent = [
        s == p.itemsize or (repeat and k == len(operands) - 1 and s == 0)
        for k, (s, p) in enumerate(zip(steps, operands, strict=True))
    ]
    found = padded(loops, 4, len(operands)) if all(adjacent) else None
    return found if found is None or (keep_last and found[-2][0] == 1) else rows_for_threads(found, low.any_length)


def fields_of(loops: list[Loop], names: str) -> Fields:
    """N, H, W, C and the strides of operands, named by letters in the loops' order."""
    fields: Fields = dict(zip("NHWC", (d for d, _ in loops), strict=True))
    for k, name in enumerate(names):
        fields |= {f"{name}_{axis}": loop[1][k] for axis, loop in zip("nhw", loops, strict=False)}
    return fields


def quantize(low: Lowering, node: Node) -> bool:
    t = low.type(node.outputs[0])
    if t.quant is None or t.quant.axis is not None or t.dtype not in (DType.U8, DType.I16):
        return False
    kind = "quantize" if t.dtype is DType.U8 else "int16_quantize"
    fields: Fields = {"f_scale": float(t.quant.s), **limits(low, node), **int16_limits(low, node)}
    return _rounded(low, node, kind, fields)


def _rounded(low: Lowering, node: Node, kind: str, fields: Fields) -> bool:
    """Floats as integers."""
    name, out = node.inputs[0], node.outputs[0]
    x = low.places.get(name)
    if x is None or x.dtype != "<f4":
        return False
    y = low.place(out, like=x, pitch=pitch(low, out))
    if len(y.shape) in (3, 4) and y.is_channels_last and y.shape[1] > 1:
        image_x, image_y = x.as_image(), y.as_image()
        fields |= {"x_c": image_x.strides[1], "P": pitch(low, out) or y.shape[1]}
        low.emit_image(kind, image_x, image_y, **fitting(kind, fields))
        return True
    loops = loops_nhwc(low, y, x)
    if loops is None:
        x = low.dense_of(name)
        loops = loops_nhwc(low, y, x)
    if loops is None:
        return False
    fields |= fields_of(loops, "yx")
    low.emit(kind, {"x": x, "y": y}, {}, fitting(kind, {**fields, "x_c": 4, "P": fields["C"]}))
    return True


def quantize_linear(low: Lowering, node: Node) -> bool:
    """Bytes by a constant scale, as ONNX has them: of values whose parameters int8 ops cannot have."""
    fields = _linear(low, node, low.type(node.outputs[0]).dtype)
    return fields is not None and _rounded(low, node, "quantize", {**fields, "low": 0, "high": 255})


def dequantize_linear(low: Lowering, node: Node) -> bool:
    x, fields = low.places.get(node.inputs[0]), _linear(low, node, low.type(node.inputs[0]).dtype)
    if x is None or fields is None or low.type(node.outputs[0]).dtype is not DType.F32:
        return False
    return _real(low, node, "dequantize", {**fields, "x_zero": fields["zero"]})


def _linear(low: Lowering, node: Node, stored: DType) -> Fields | None:
    """The scale and the zero point of a tensor of bytes; None where kernels have none such."""
    scale, zero = (low.graph.constants.get(i) if i else None for i in (*node.inputs, "")[1:3])
    known = node.input(2) == "" or zero is not None
    if stored is not DType.U8 or scale is None or scale.size != 1 or not known or (zero is not None and zero.size != 1):
        return None
    s = float(scale.ravel()[0])
    fits = scale.dtype == np.float32 and 0 < s < np.inf and 0 not in low.type(node.inputs[0]).static_shape
    return {"f_scale": s, "zero": 0 if zero is None else int(zero.ravel()[0])} if fits else None


def pitch(low: Lowering, name: str) -> int:
    """Pixels of three channels take four bytes where only convolutions read them: a pixel is then one load."""
    readers, t = low.consumers.get(name, []), low.type(name)
    image = t.rank == 4 and t.dtype is DType.U8 and t.static_shape[1] == 3
    if not image or not readers or name in low.concat_slots or name in low.graph.outputs:
        return 0
    return 4 if all(n.op == "Conv" and n.attr("group") == 1 and n.inputs[0] == name for n in readers) else 0


def dequantize(low: Lowering, node: Node) -> bool:
    name, out = node.inputs[0], node.outputs[0]
    form, quant = form_of(low, node, name), low.type(name).quant
    if form is None or quant is None or low.type(out).quant is not None:
        return False
    fields: Fields = {"x_zero": quant.z, "q_x_zero": quant.z, "f_scale": float(quant.s)}
    return _real(low, node, f"{form}dequantize", fields)


def _real(low: Lowering, node: Node, kind: str, fields: Fields) -> bool:
    """Integers as floats."""
    name = node.inputs[0]
    x, y = low.places[name], low.place(node.outputs[0])
    loops = loops_nhwc(low, y, x)
    if loops is None and len(x.shape) in (3, 4) and (x.is_channels_last or y.is_channels_last):
        image_x, image_y = (x if x.is_channels_last else low.image_of(name)).as_image(), y.as_image()
        low.emit_image(kind, image_x, image_y, **fitting(kind, {**fields, "y_c": image_y.strides[1]}))
        return True
    if loops is None:
        x = low.dense_of(name)
        loops = loops_nhwc(low, y, x)
    if loops is None:
        return low.refuse("its result lies in no order that it could be written in")
    low.emit(kind, {"x": x, "y": y}, {}, fitting(kind, {**fields_of(loops, "yx"), **fields, "y_c": 4}))
    return True


def lookup(low: Lowering, node: Node) -> bool:
    name, out = node.inputs[0], node.outputs[0]
    dtypes, table = {low.type(v).dtype for v in (name, out)}, low.graph.constants[node.inputs[1]]
    by_channel, kind = table.ndim == 2, "lookup" if dtypes <= {DType.U8, DType.I8} else "int16_lookup"
    stored = dtypes <= {DType.U8, DType.I16} or kind == "lookup"
    if name not in low.places or not stored or (by_channel and kind != "lookup"):
        return False
    if low.type(name).dtype is DType.I8:
        table = np.roll(table, 128, axis=-1)  # NOTE: kernels take the byte for an unsigned index
    x = low.places[name]
    axis = int(node.attr("axis")) % max(1, len(x.shape))
    turn = True if by_channel and axis == 1 and len(x.shape) in (3, 4) else None
    y = low.place(out, channels_last=turn, like=_with_last(x, axis) if by_channel else x)
    if by_channel and y.shape[axis] == 1:
        return False
    made, loops = y, loops_nhwc(low, y, x, keep_last=by_channel)
    if loops is None and (not by_channel or y.strides[axis] == 1):
        x = in_form_of(low, name, y)
        loops = loops_nhwc(low, y, x, keep_last=by_channel)
    if by_channel and (loops is None or y.strides[axis] != 1):
        x, made = _turned_copy(low, x, axis), low.dense(y.shape, y.dtype, _with_last(x, axis))
        loops = loops_nhwc(low, made, x, keep_last=True)
    if loops is None:
        return False
    fields: Fields = {"t_c": 256 if by_channel else 0, "x_item": x.itemsize, "y_item": y.itemsize}
    places: dict[str, TensorView | None] = {"x": x, "y": made}
    if "scratch" in INSTRUCTIONS[kind].outs:
        places["scratch"] = None
    low.emit(kind, places, {"table": low.constant(table)}, fitting(kind, {**fields_of(loops, "yx"), **fields}))
    if made is not y:
        low.move(made, y)
    return True


def _with_last(place: TensorView, axis: int) -> TensorView:
    """An order of dimensions: a place's own, but with one innermost, along which tables of channels lie."""
    return place._replace(strides=tuple(-1 if k == axis else s for k, s in enumerate(place.strides)))


def _turned_copy(low: Lowering, x: TensorView, axis: int) -> TensorView:
    copy = low.dense(x.shape, x.dtype, _with_last(x, axis))
    low.move(x, copy)
    return copy


def broadcast(place: TensorView, shape: tuple[int, ...]) -> TensorView:
    """The place with numpy's broadcasting: strides of 0 along repeated dimensions."""
    missing = len(shape) - len(place.shape)
    dims, steps = (1,) * missing + place.shape, (0,) * missing + place.strides
    strides = tuple(0 if d == 1 else s for d, s in zip(dims, steps, strict=True))
    return TensorView(place.buffer, place.start, shape, strides, place.dtype)


class Pair(NamedTuple):
    """The operands of one of INT8_BINARY, the larger first. f_a, f_b: what their reals are of the output's."""

    a: str
    b: str
    f_a: float
    f_b: float


def pair_of(low: Lowering, node: Node) -> Pair:
    a, b = node.inputs
    types = [low.type(v) for v in (a, b, *node.outputs)]
    with np.errstate(all="ignore"):  # NOTE: a factor may be beyond float32, which its kernels then refuse
        together = node.has(JOINTLY_HOMOGENEOUS)
        f_a, f_b = map(float, addends(node, *types) if together else (factor(*types),) * 2)
    size_a, size_b = ((t.static_shape == types[2].static_shape, prod(t.static_shape)) for t in types[:2])
    return Pair(a, b, f_a, f_b) if size_a >= size_b else Pair(b, a, f_b, f_a)


def emit_pair(low: Lowering, out: str, pair: Pair, kind: str, fields: Fields) -> bool:
    """An instruction of INT8_BINARY; False where the operands' strides need more loops. Where both operands are
    broadcast, the larger is copied as often as it takes."""
    shape, pa, pb = low.type(out).static_shape, low.places[pair.a], low.places[pair.b]
    spread = pa.shape != shape
    y = low.place(out, like=None if spread else pa)
    if spread:
        repeated = low.dense(shape, pa.dtype, like=y)
        low.move(broadcast(pa, shape), repeated)
        pa = repeated
    loops = loops_nhwc(low, y, pa, broadcast(pb, y.shape), repeat=True)
    if loops is None:
        pa, pb = pa if spread else in_form_of(low, pair.a, y), in_form_of(low, pair.b, y)
        loops = loops_nhwc(low, y, pa, broadcast(pb, y.shape), repeat=True)
        if loops is None:
            return False
    repeats = loops[-1][1][2] == 0 and loops[-1][0] > 1
    factors = {"f_a": pair.f_a, "f_b": pair.f_b}
    fields = fitting(kind, {**fields_of(loops, "yab"), "b_c": 0 if repeats else 1, **factors, **fields})
    low.emit(kind, {"a": pa, "b": pb, "y": y}, {}, fields)
    return True


def binary(low: Lowering, node: Node) -> bool:
    form = form_of(low, node, *node.inputs)
    if form is None or low.type(node.outputs[0]).quant is None:
        return False
    pair, out, kind = pair_of(low, node), node.outputs[0], form + ("Add" if node.has(ADDITIVE) else node.op).lower()
    if form == INT16:
        fields = {"q_a_zero": low.zero(pair.a), "q_b_zero": low.zero(pair.b), **int16_limits(low, node)}
        return are_finite(pair.f_a, pair.f_b) and emit_pair(low, out, pair, kind, fields)
    together = node.has(JOINTLY_HOMOGENEOUS)
    most = 255 * (abs(pair.f_a) + abs(pair.f_b)) if together else 255 * 255 * pair.f_a
    if most >= MAX_ROUNDED:
        return low.refuse("its scales are so far apart that int32 does not hold its sums")
    zeros = {"a_zero": low.zero(pair.a), "b_zero": low.zero(pair.b)}
    return emit_pair(low, out, pair, kind, {**zeros, **limits(low, node)})


def in_form_of(low: Lowering, name: str, y: TensorView) -> TensorView:
    """The value channels-last where y is, else dense."""
    place = low.places[name]
    if len(place.shape) == len(y.shape) and y.is_channels_last and len(y.shape) in (3, 4):
        image = low.image_of(name)
        return image.as_ncw() if len(y.shape) == 3 else image
    return low.dense_of(name)
