"""Ops between floats and quantized values, and what ONNX has for them."""

from __future__ import annotations

from . import traits as t
from .attributes import flag, ignored, integer, neutral, size, word
from .definition import OpDef, Operand, Output
from .forms import form
from .shorthand import IN, node, optional

_MASK = frozenset({t.MASK_CARRIER, t.MASK_ARITHMETIC})
_TABLE = form("axis", "function")
_FORMAT = {"axis": integer(1), "block_size": neutral(size(0, least=0)), "output_dtype": neutral(size(0, least=0))}
_PARAMETERS = (IN, Operand("scale", "S"))

OPS = (
    OpDef("Quantize", (IN,), (Output("y", ""),), traits=_MASK, typing="quantize", shape="shape_rules.same",
          integer=node("integer_elementwise.quantize_op"), equations="1, 2", lower="lower_pointwise.quantize",
          lower_int16="lower_pointwise.quantize"),
    OpDef("Dequantize", (IN,), (Output("y", "f32"),), traits=_MASK, typing="dequantize", shape="shape_rules.same",
          integer=node("integer_elementwise.dequantize_op"), equations="3", lower="lower_pointwise.dequantize",
          lower_int16="lower_pointwise.dequantize"),
    OpDef("Lookup", (IN, Operand("table", "T", (1, 2))), attributes={"axis": integer(1), "function": word()},
          typing="lookup", shape="shape_rules.same", integer=node("integer_elementwise.lookup"), equations="12",
          int8=_TABLE, int8_kernel=_TABLE, lower="lower_pointwise.lookup",
          lower_int16="lower_pointwise.lookup"),
    OpDef("QuantizeLinear", (*_PARAMETERS, optional("zero_point", "Z")), (Output("y", "Z", "u8"),),
          traits=frozenset({t.STEP, t.ONNX_QUANTIZATION}), attributes={**_FORMAT,
          "precision": neutral(size(0, least=0)), "saturate": ignored(flag(1))}, shape="shape_rules.same",
          meaning=node("float_shape.quantize_linear"), lower_float="lower_pointwise.quantize_linear"),
    OpDef("DequantizeLinear", (*_PARAMETERS, optional("zero_point")), (Output("y", "S"),), _FORMAT,
          frozenset({t.STEP, t.ONNX_QUANTIZATION}), shape="shape_rules.same",
          meaning=node("float_shape.dequantize_linear"), lower_float="lower_pointwise.dequantize_linear"),
)  # fmt: skip
