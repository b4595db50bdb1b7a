"""Convolutions and products by constant matrices."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Kind, Node
from ..reference.arithmetic import bounds, multiplier, product_scale
from ..reference.windows import Window
from .lower import Lowering, as_rows, conv_halo, rule
from .packing import pack, round_up
from .program import Place

_SCRATCH = {"scratch": None}


def epilogue(low: Lowering, node: Node) -> dict[str, int | float]:
    """Fields of the requantization."""
    y = low.type(node.outputs[0])
    if y.quant is None:
        return {"y_f32": 1, "f_zero": 0.0, "f_low": 0.0, "f_high": 0.0}
    qmin, qmax = bounds(node, y)
    return {"y_f32": 0, "f_zero": float(y.quant.z), "f_low": float(qmin), "f_high": float(qmax)}


def channel_constants(low: Lowering, node: Node, sums: Array, groups: int, block: int) -> dict[str, int]:
    """bias (zero point folded in) and scale of each output channel, padded per group to whole blocks. sums: weights' [channels]."""
    x, w, y = low.type(node.inputs[0]), low.type(node.inputs[1]), low.type(node.outputs[0])
    assert x.quant is not None
    channels = sums.size
    bias = low.graph.constants[node.inputs[2]].astype(np.int64).reshape(-1) if node.input(2) else np.zeros(1, np.int64)
    folded = np.broadcast_to(bias, (channels,)) - x.quant.z * sums.astype(np.int64)
    m = product_scale(x, w) if y.quant is None else multiplier(x, w, y)
    scale = np.broadcast_to(m.astype(np.float32), (channels,))
    per = channels // groups
    result = {}
    for name, array, dtype in (("bias", folded, np.int32), ("scale", scale, np.float32)):
        padded = np.zeros((groups, round_up(per, block)), dtype)
        padded[:, :per] = array.reshape(groups, per)
        result[name] = low.constant(padded)
    return result


def is_native(low: Lowering, node: Node) -> bool:
    x, w, y = low.type(node.inputs[0]), low.type(node.inputs[1]), low.type(node.outputs[0])
    return x.kind is Kind.U8 and w.kind is Kind.I8 and y.kind in (Kind.U8, Kind.F32) and node.inputs[1] in low.graph.constants


@rule("Conv")
def conv(low: Lowering, node: Node) -> bool:
    if not is_native(low, node) or len(low.type(node.inputs[0]).static_shape) != 4:
        return False
    name, out = node.inputs[0], node.outputs[0]
    w = low.graph.constants[node.inputs[1]]
    groups, (oc, icg, kh, kw) = int(node.attr("group", 1)), w.shape
    x = low.bordered(name, conv_halo(low.graph, node), low.zero(name))
    y = low.place(out, channels_last=True)
    win = Window.of(node, x.shape[2:], w.shape[2:])
    corner = Place(x.buffer, x.start - win.begin[0] * x.strides[2] - win.begin[1] * x.strides[3], x.shape, x.strides, x.dtype)
    shape: dict[str, int | float] = {"KH": kh, "KW": kw, "SH": win.strides[0], "SW": win.strides[1], "DH": win.dilations[0],
                                     "DW": win.dilations[1]}  # fmt: skip
    sums = w.astype(np.int64).sum((1, 2, 3))
    if groups == x.shape[1] == oc and icg == 1:
        constants = {"w": low.constant(w.transpose(2, 3, 1, 0)), **channel_constants(low, node, sums, 1, 16)}
        low.emit_image("depthwise2d", corner, y, constants, **shape, **epilogue(low, node))
    else:
        packed = w.reshape(groups, oc // groups, icg, kh, kw).transpose(0, 1, 3, 4, 2)
        fused = x.strides[3] == icg and win.dilations[1] == 1
        product(low, node, corner, y, packed, sums, fused, **shape)
    low.written(out)
    return True


def product(low: Lowering, node: Node, x: Place, y: Place, w: Array, sums: Array, fused: bool, **shape: int | float) -> None:
    """A conv2d instruction. w: [groups, OC, KH, KW, IC]."""
    groups, oc, _, kw, ic = w.shape
    if fused and shape["KH"] == 1 and kw == 1 and shape["SH"] == shape["SW"] == 1:
        x, y = flattened(x, y)
    n, _, h, width = y.shape
    constants = {"w": low.constant(pack(low.isa, w, fused)), **channel_constants(low, node, sums, groups, low.packing.block)}
    names = ("x_n", "x_h", "x_w", "y_n", "y_h", "y_w")
    strides = dict(zip(names, (x.strides[0], *x.strides[2:], y.strides[0], *y.strides[2:]), strict=True))
    runs, run = (1, kw * ic) if fused else (kw, ic)
    sizes = {"N": n, "H": h, "W": width, "C": oc, **strides, "G": groups, "x_c": ic, **shape, "runs": runs, "run": run}
    fields = {**sizes, **epilogue(low, node)}
    low.emit("conv2d", {"x": x, "y": y, **_SCRATCH}, constants, fields)


def flattened(x: Place, y: Place) -> tuple[Place, Place]:
    """1x1 with dense rows on both sides: the image as rows of a matrix, cut so that threads still have rows to share."""
    n, c, h, w = x.shape
    if any(p.strides[2] != w * p.strides[3] or (n > 1 and p.strides[0] != h * p.strides[2]) for p in (x, y)):
        return x, y
    total = n * h * w
    rows = next((r for r in range(min(h * n, max(1, total // 56)), 0, -1) if total % r == 0), 1)

    def flat(p: Place) -> Place:
        width = total // rows
        pixel = p.strides[3]
        return Place(p.buffer, p.start, (1, p.shape[1], rows, width), (total * pixel, p.itemsize, width * pixel, pixel), p.dtype)

    return flat(x), flat(y)


@rule("Gemm", "MatMul")
def matmul(low: Lowering, node: Node) -> bool:
    if not is_native(low, node) or low.type(node.inputs[0]).rank == 4 or low.type(node.inputs[0]).rank == 1:
        return False
    w = low.graph.constants[node.inputs[1]]
    if w.ndim != 2:
        return False
    w = w.T if node.op == "Gemm" and node.attr("transB", 0) else w
    x = as_rows(low.use(low.places[node.inputs[0]]))
    if x is None:
        return False
    y = as_rows(low.place(node.outputs[0]))
    assert y is not None
    unit: dict[str, int | float] = dict.fromkeys(("KH", "KW", "SH", "SW", "DH", "DW"), 1)
    product(low, node, x, y, w.T[None, :, None, None, :], w.astype(np.int64).sum(0), True, **unit)
    return True
