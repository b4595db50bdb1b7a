"""onnxruntime's ops on images with channels last, as standard ops between transposes, which quantization and kernels
see through."""

from __future__ import annotations

from .body import Body
from .products import CONV, convolved


def conv(b: Body) -> None:
    z, rank = b.input(3), b.rank(b.input(1))
    b.gives(0, _last(b, convolved(b, _first(b, b.input(0), rank), _first(b, z, rank) if z else ""), rank))


def max_pool(b: Body) -> None:
    rank = 2 + len(b.attribute("kernel_shape", ()))
    b.gives(0, _last(b, b.op("MaxPool", _first(b, b.input(0), rank), **b.given((*CONV, "ceil_mode"))), rank))


def qlinear_conv(b: Body) -> None:
    """QLinearConv, with `channels_last` of images so laid out."""
    x, last, rank = b.input(0), b.attribute("channels_last", 0), b.rank(b.input(3))
    y = b.op("QLinearConv", _first(b, x, rank) if last else x, *b.node.input[1:], **b.given(CONV))
    b.gives(0, _last(b, y, rank) if last else y)


def _first(b: Body, x: str, rank: int) -> str:
    return b.op("Transpose", x, perm=[0, rank - 1, *range(1, rank - 1)])


def _last(b: Body, x: str, rank: int) -> str:
    return b.op("Transpose", x, perm=[0, *range(2, rank), 1])
