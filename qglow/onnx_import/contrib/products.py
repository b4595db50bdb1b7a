"""onnxruntime's fused products: with an activation, a sum, transposed or scaled operands, or integers in and floats
out."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from .body import Body

CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
_PARAMETERS = {
    "LeakyRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "Elu": ("alpha",),
    "ThresholdedRelu": ("alpha",),
}
_PLAIN = ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign")


def fused_conv(b: Body) -> None:
    """activation(Conv(x, w, bias) + z)"""
    b.gives(0, convolved(b, b.input(0), b.input(3)))


def convolved(b: Body, x: str, z: str) -> str:
    operands = [x, b.input(1), b.input(2)]
    y = b.op("Conv", *(operands if operands[2] else operands[:2]), **b.given(CONV))
    return _activated(b, b.plus(y, z), b.attribute("activation", ""), list(b.attribute("activation_params", [])))


def fused_gemm(b: Body) -> None:
    y = b.op("Gemm", *filter(None, (b.input(k) for k in range(3))), **b.given(("alpha", "beta", "transA", "transB")))
    parameters = b.given(("activation_alpha", "activation_beta", "activation_gamma"))
    b.gives(0, _activated(b, y, b.attribute("activation", ""), list(parameters.values())))


def _activated(b: Body, x: str, name: str, parameters: list[float]) -> str:
    if not name:
        return x
    if name == "Clip" and b.opset < 11:
        return b.op("Clip", x, **dict(zip(("min", "max"), map(float, parameters), strict=False)))
    if name == "Clip":
        return b.op("Clip", x, *(b.constant(v) for v in parameters[:2]))
    if name in _PLAIN:
        return b.op(name, x)
    if name not in _PARAMETERS:
        raise ValueError(f"the activation {name!r}")
    given: dict[str, Any] = dict(zip(_PARAMETERS[name], map(float, parameters), strict=False))
    return b.op(name, x, **given)


def fused_matmul(b: Body) -> None:
    """alpha times the product; transA and transB exchange the last two axes, transBatchA and transBatchB move the first
    to the last but one before."""
    a, c = b.input(0), b.input(1)
    for name in ("A", "B"):
        x = a if name == "A" else c
        if b.attribute(f"transBatch{name}", 0):
            rank = b.rank(x)
            x = b.op("Transpose", x, perm=[*range(1, rank - 1), 0, rank - 1])
            if b.attribute(f"trans{name}", 0):
                x = b.op("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])
        elif b.attribute(f"trans{name}", 0) and b.rank(x) > 1:
            x = b.swapped(x, -1, -2)
        a, c = (x, c) if name == "A" else (a, x)
    b.gives(0, b.scaled(b.op("MatMul", a, c), b.attribute("alpha", 1.0)))


def integers_to_float(b: Body) -> None:
    """(a, b, a scale, b scale, a zero, b zero, bias): float((a - a zero) (b - b zero)) times both scales, plus bias."""
    b.gives(0, scaled_product(b, b.input(0), b.input(4), b.input(2), b.input(1), b.input(5), b.input(3), b.input(6)))


def dynamic_product(b: Body) -> None:
    """(a, b, b scale, b zero, bias): the rows of a are quantized by their range when it runs."""
    y, scale, zero = (f"{b.prefix}{n}" for n in ("q", "s", "z"))
    b.nodes.append(helper.make_node("DynamicQuantizeLinear", [b.input(0)], [y, scale, zero], name=f"{b.prefix}q"))
    b.gives(0, scaled_product(b, y, zero, scale, b.input(1), b.input(3), b.input(2), b.input(4)))


def scaled_product(b: Body, x: str, x_zero: str, x_scale: str, w: str, w_zero: str, w_scale: str, bias: str) -> str:
    """Where the scale of x is known before it runs, a MatMul of what the integers stand for, which quantization reads
    as one of integers."""
    if {w, x_scale, x_zero, w_scale, w_zero} - {""} <= b.constants.keys() and b.rank(w) == 2:
        by_column = b.rank(w_scale)
        if by_column <= (b.opset >= 13) and (not w_zero or b.rank(w_zero) == by_column):
            real = b.op("DequantizeLinear", *filter(None, (x, x_scale, x_zero)))
            axis = {"axis": 1} if by_column else {}
            weights = b.op("DequantizeLinear", *filter(None, (w, w_scale, w_zero)), **axis)
            return b.plus(b.op("MatMul", real, weights), bias)
    operands = [x, w, x_zero, w_zero]
    while not operands[-1]:
        operands.pop()
    total = b.floats(b.op("MatMulInteger", *operands))
    return b.plus(b.op("Mul", total, b.op("Mul", x_scale, w_scale)), bias)


def trilu(b: Body) -> None:
    """The upper or lower triangle of the last two axes, from the diagonal k on."""
    x, upper = b.input(0), b.attribute("upper", 1)
    rows, columns = b.reshape(b.count(b.size(x, -2)), -1, 1), b.reshape(b.count(b.size(x, -1)), 1, -1)
    distance = b.op("Sub", b.op("Sub", columns, rows), b.input(1) or b.ints(0))
    kept = b.op("Not", b.op("Less", *((distance, b.ints(0)) if upper else (b.ints(0), distance))))
    b.gives(0, b.op("Where", kept, x, b.op("Sub", x, x)))


def range_of(b: Body) -> None:
    """(start, limit, delta), delta 1 where it is omitted: scalars, or tensors of one element."""
    operands = [b.op("Reshape", v, b.constant([], np.int64)) for v in b.node.input if v]
    if len(operands) == 2:
        raise ValueError("an omitted step")
    b.gives(0, b.op("Range", *operands))
