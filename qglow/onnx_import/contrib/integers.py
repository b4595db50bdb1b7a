"""onnxruntime's own ops on integers as standard ops between DequantizeLinear and QuantizeLinear, which are ONNX's with
dtypes (16 bits, 4 bits) that ONNX has since opset 21."""

from __future__ import annotations

from .body import Body
from .pointwise import embedded

BLOCKS_SINCE, AXIS_SINCE = 21, 13  # opsets of ONNX's operators


def quantize(b: Body) -> None:
    """(x, scale, zero point)"""
    _as_standard(b, "QuantizeLinear")


def dequantize(b: Body) -> None:
    """(q, scale, zero point)"""
    _as_standard(b, "DequantizeLinear")


def where(b: Body) -> None:
    """(condition, x, scale, zero point, y, scale, zero point, output's scale, zero point)"""
    condition, *operands = (b.input(k) for k in range(9))
    x, y = (b.op("DequantizeLinear", *filter(None, operands[k : k + 3])) for k in (0, 3))
    b.gives(0, b.op("QuantizeLinear", b.op("Where", condition, x, y), *filter(None, operands[6:])))


def embed_layer_norm(b: Body) -> None:
    """(ids, segments, words, positions, segment rows, gamma, beta, mask, then the scales of the five tables, then their
    zero points) -> y, counts of the mask."""
    reals = [
        b.op("DequantizeLinear", b.input(k), b.input(k + 6), b.input(k + 11)) if b.input(k) else "" for k in range(2, 7)
    ]
    embedded(b, b.input(0), b.input(1), reals, b.input(7), "")


def _as_standard(b: Body, name: str) -> None:
    size = b.attribute("block_size", 0)
    if size and b.opset < BLOCKS_SINCE:
        raise ValueError(f"a block_size in a model of opset {b.opset}")
    if b.opset < AXIS_SINCE and b.rank(b.input(1)):
        raise ValueError(f"a scale for each index of an axis in a model of opset {b.opset}")
    given = b.given(("axis", "block_size") if size else ("axis",) if b.opset >= AXIS_SINCE else ())
    b.gives(0, b.op(name, *(i for i in b.node.input if i), **given))
