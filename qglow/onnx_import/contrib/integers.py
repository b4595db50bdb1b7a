"""onnxruntime's own QuantizeLinear and DequantizeLinear: ONNX's, with dtypes (16 bits, 4 bits) that ONNX has since
opset 21."""

from __future__ import annotations

from .body import Body

BLOCKS_SINCE, AXIS_SINCE = 21, 13  # opsets of ONNX's operators


def quantize(b: Body) -> None:
    """(x, scale, zero point)"""
    _as_standard(b, "QuantizeLinear")


def dequantize(b: Body) -> None:
    """(q, scale, zero point)"""
    _as_standard(b, "DequantizeLinear")


def _as_standard(b: Body, name: str) -> None:
    size = b.attribute("block_size", 0)
    if size and b.opset < BLOCKS_SINCE:
        raise ValueError(f"a block_size in a model of opset {b.opset}")
    if b.opset < AXIS_SINCE and b.rank(b.input(1)):
        raise ValueError(f"a scale for each index of an axis in a model of opset {b.opset}")
    given = b.given(("axis", "block_size") if size else ("axis",) if b.opset >= AXIS_SINCE else ())
    b.gives(0, b.op(name, *(i for i in b.node.input if i), **given))
