"""Ops on stored integers, ONNX's and onnxruntime's (domain com.microsoft), as Quantize(op(Dequantize, ...)):
quantization reads their int8 meaning back from this pattern."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from ..errors import ModelError
from ..graph import Array, GraphBuilder, Node, TensorType

_INTEGERS = {TensorProto.UINT8: np.uint8, TensorProto.INT8: np.int8, TensorProto.UINT16: np.uint16,
             TensorProto.INT16: np.int16}  # fmt: skip
LARGEST_SCALE = np.nextafter(np.float32(np.finfo(np.float32).max / 255), np.float32(0))


def with_finite_scales(b: GraphBuilder, node: Node) -> Node:
    """An operator on integers with scales by which all that 8 bits stand for is finite.

    Its own arithmetic has ratios of scales alone, and works with a mask of the lowest float, which would be infinite
    when dequantized."""

    def bounded(name: str) -> str:
        c = b.constants.get(name)
        if c is None or c.dtype != np.float32 or not (np.isfinite(c) & (c > LARGEST_SCALE)).any():
            return name
        return b.add_constant(f"{node.name}.scale", np.minimum(c, LARGEST_SCALE))

    return node.with_(inputs=tuple(map(bounded, node.inputs)))


class Real:
    """The float op within a node. dtype: of its scales, and so of the reals."""

    def __init__(self, b: GraphBuilder, node: Node, scale: str) -> None:
        self.b, self.node, self.y, self.dtype = b, node, node.outputs[0], b.types[scale].dtype

    def typed(self, value: str) -> TensorType:
        return TensorType(self.dtype, self.b.types[value].shape)

    def operand(self, hint: str, value: str, scale: str, zero: str = "", **axis: int) -> str:
        """The reals that stored integers stand for."""
        parameters = (scale, zero) if zero else (scale,)
        return self.b.add("DequantizeLinear", (value, *parameters), self.typed(value), f"{self.y}.{hint}", **axis)

    def bias(self, value: str, unit: Array) -> str:
        scale = self.b.add_constant(f"{self.y}.bias.scale", np.asarray(unit, np.float32))
        return self.operand("bias", value, scale, axis=-1)

    def op(self, op: str, *inputs: str, **attributes: object) -> str:
        return self.b.add(op, inputs, self.typed(self.y), f"{self.y}.real", **attributes)

    def gives(self, value: str, scale: str, zero: str = "") -> None:
        """The node's output: the integers of a real value."""
        parameters = (scale, zero) if zero else (scale,)
        self.b.append(Node("QuantizeLinear", (value, *parameters), (self.y,), {}, self.node.name))


def quantize_linear(b: GraphBuilder, node: Node, opset: int) -> None:
    """The dtype that an attribute names is that of the zero point. Raises ModelError for 4 bits and floats of 8."""
    dtype, inputs = node.attributes.get("output_dtype", 0), node.inputs
    if dtype and not node.input(2):
        shape = b.types[inputs[1]].shape
        if dtype not in _INTEGERS or shape is None or any(isinstance(d, str) for d in shape):
            raise ModelError(f"node {node.name!r} (QuantizeLinear): output_dtype = {dtype} is not supported")
        sizes = tuple(d for d in shape if isinstance(d, int))
        inputs = (*inputs[:2], b.add_constant(f"{node.outputs[0]}.zero", np.zeros(sizes, _INTEGERS[dtype])))
    b.append(node.with_attributes(output_dtype=None).with_(inputs=inputs))


def qlinear_conv(b: GraphBuilder, node: Node, opset: int) -> None:
    x, xs, xz, w, ws, wz, ys, yz, bias = (*node.inputs, "")[:9]
    r = Real(b, node, xs)
    inputs = [r.operand("x", x, xs, xz), r.operand("w", w, ws, wz, axis=0)]
    if bias:
        inputs.append(r.bias(bias, b.constants[xs] * b.constants[ws]))
    r.gives(r.op("Conv", *inputs, **node.attributes), ys, yz)


def qlinear_binary(b: GraphBuilder, node: Node, opset: int) -> None:
    a, sa, za, c, sc, zc, sy, zy = (*node.inputs, "")[:8]
    r = Real(b, node, sa)
    operands = r.operand("a", a, sa, za), r.operand("b", c, sc, zc)
    r.gives(r.op(node.op.removeprefix("QLinear"), *operands), sy, zy)


def qlinear_unary(b: GraphBuilder, node: Node, opset: int) -> None:
    x, sx, zx, sy, zy = (*node.inputs, "")[:5]
    r = Real(b, node, sx)
    r.gives(r.op(node.op.removeprefix("QLinear"), r.operand("x", x, sx, zx), **node.attributes), sy, zy)


def qlinear_concat(b: GraphBuilder, node: Node, opset: int) -> None:
    sy, zy, *rest = node.inputs
    r = Real(b, node, sy)
    parts = [r.operand("part", *rest[k : k + 3]) for k in range(0, len(rest), 3)]
    r.gives(r.op("Concat", *parts, axis=node.attributes.get("axis")), sy, zy)


def qgemm(b: GraphBuilder, node: Node, opset: int) -> None:
    """The bias is int32 in units of alpha times a's scale times b's; without an output scale the result is float."""
    a, sa, za, w, sw, zw, bias, sy, zy = (*node.inputs, "", "", "")[:9]
    r = Real(b, node, sa)
    axis = 0 if node.attributes.get("transB", 0) else 1
    inputs = [r.operand("a", a, sa, za), r.operand("b", w, sw, zw, axis=axis)]
    if bias:
        inputs.append(r.bias(bias, node.attributes.get("alpha", 1.0) * b.constants[sa] * b.constants[sw]))
    if sy:
        r.gives(r.op("Gemm", *inputs, **node.attributes), sy, zy)
    else:
        b.types[r.y] = r.typed(r.y)
        b.append(node.with_(op="Gemm", inputs=tuple(inputs)))
