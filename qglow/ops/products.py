"""Matrix products and convolutions."""

from __future__ import annotations

from typing import Any

from . import traits as t
from .attributes import flag, integers, real, size, word
from .definition import MANY, OpDef, Operand, Output
from .forms import form, only
from .shorthand import FUSED, LIST, MATRIX, OUR_OWN, WINDOWED, X, node, optional, weight

_PRODUCT = frozenset({t.PRODUCT, t.WEIGHTED, t.ACCUMULATES, t.SEVERAL_ROUNDINGS, t.GROWS})
_CONVOLUTION = _PRODUCT | {t.CONVOLUTION, t.WINDOW, t.IMAGE, t.STRIDED_FLOATS, t.PADDING}
_CONV = form(*WINDOWED, "group", *OUR_OWN)
_TRANSPOSED = form(*WINDOWED, "group", "output_padding", "output_shape", *OUR_OWN)
_GEMM = form("transB", *OUR_OWN, transA=only(0), alpha=only(1.0), beta=only(1.0))
_OPERANDS = (X, weight("w", "T", (3, MANY)), optional("bias", "T", LIST))


def _first_axis(node: Any, rank: int | None) -> int:
    return 0


def _second_axis(node: Any, rank: int | None) -> int:
    return 1


def _last_axis(node: Any, rank: int | None) -> int | None:
    return None if rank is None else rank - 1


def _gemm_axis(node: Any, rank: int | None) -> int:
    return 0 if node.attr("transB") else 1


OPS = (
    OpDef("Conv", _OPERANDS, attributes={**WINDOWED, "group": size(1), **OUR_OWN}, traits=_CONVOLUTION,
          channel_axis=_first_axis, typing="product", shape="shape_rules_window.conv",
          meaning=node("float_conv.conv"), strict=node("float_product.conv"), integer=node("integer_product.conv"),
          equations="3 to 7", int8=_CONV, int8_kernel=_CONV, float_kernel=_CONV,
          lower="lower_volume.conv", lower_int16="lower_int16_product.conv",
          lower_float="lower_float_volume.conv"),
    OpDef("ConvTranspose", _OPERANDS, traits=_CONVOLUTION, channel_axis=_second_axis, typing="product",
          attributes={**WINDOWED, "group": size(1), "output_padding": integers(0),
          "output_shape": integers(0), **OUR_OWN}, shape="shape_rules_window.conv_transpose",
          meaning=node("float_conv.conv_transpose"), strict=node("float_product.conv_transpose"),
          integer=node("integer_product.conv"), equations="3 to 7", int8=_TRANSPOSED,
          int8_kernel=_TRANSPOSED.but(epilogue=only()),
          float_kernel=_TRANSPOSED,
          lower="lower_product.conv_transpose", lower_int16="lower_int16_product.conv_transpose",
          lower_float="lower_float_volume.conv_transpose"),
    OpDef("Gemm", (weight("a", "T"), weight("b", "T", MATRIX), optional("c", "T", (0, 2))),
          traits=_PRODUCT | {t.MATRIX_PRODUCT, t.OWN_LAYOUT}, attributes={"transA": flag(), "transB": flag(),
          "alpha": real(1.0), "beta": real(1.0), **OUR_OWN}, channel_axis=_gemm_axis, typing="product",
          shape="shape_rules.gemm", meaning=node("float_conv.gemm"),
          strict=node("float_product.gemm"), integer=node("integer_product.gemm"), equations="3 to 7", int8=_GEMM,
          int8_kernel=_GEMM, float_kernel=form("transB", "alpha", "beta", *FUSED, transA=only(0)),
          lower="lower_product.matmul", lower_int16="lower_int16_product.matmul",
          lower_float="lower_float_product.matmul"),
    OpDef("MatMul", (weight("a", "T"), weight("b", "T"), optional("bias")), attributes=OUR_OWN,
          traits=_PRODUCT | {t.MATRIX_PRODUCT, t.ROW_PRODUCT, t.OWN_LAYOUT}, channel_axis=_last_axis,
          typing="product", shape="shape_rules.matmul", meaning=node("float_conv.matmul"),
          strict=node("float_product.matmul"),
          integer=node("integer_product.matmul"), equations="3 to 7", int8=form(*OUR_OWN),
          int8_kernel=form(*OUR_OWN), float_kernel=form(*FUSED),
          lower="lower_product.matmul", lower_int16="lower_int16_product.matmul",
          lower_float="lower_float_product.matmul"),
    OpDef("BlockwiseMatMul",
          (Operand("x", "", (1, MANY)), Operand("w", "", MATRIX), Operand("scales", "", MATRIX),
           optional("zero_points", "", MATRIX), optional("bias", "", LIST)),
          (Output("y", "f32"),), {"compute": word("int8", "float32", default="int8"), **FUSED},
          frozenset({t.WEIGHTED, t.ROW_PRODUCT, t.GROWS, t.OWN_LAYOUT}), channel_axis=_first_axis,
          shape="shape_rules.blockwise", typing="blockwise",
          integer=node("blockwise.blockwise_matmul"), equations="42 to 47", int8=form("compute", *FUSED),
          int8_kernel=form("compute", *FUSED), lower="lower_blockwise.blockwise_matmul"),
)  # fmt: skip
