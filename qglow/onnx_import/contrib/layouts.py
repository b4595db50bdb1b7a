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


def qlinear_pool(b: Body) -> None:
    """QLinearAveragePool or QLinearGlobalAveragePool, with `channels_last` of images so laid out."""
    kernel, window = b.attribute("kernel_shape", ()), (*CONV, "ceil_mode", "count_include_pad")
    _refuse_other(b, (*window, "channels_last"))
    if not b.attribute("channels_last", 0):
        b.gives(0, b.op(b.node.op_type, *b.node.input, domain=b.node.domain, **b.given(window)))
        return
    x, x_scale, x_zero, scale, zero = (b.input(k) for k in range(5))
    rank = 2 + len(kernel) if kernel else b.rank(x)
    real = b.op("DequantizeLinear", *filter(None, (_first(b, x, rank), x_scale, x_zero)))
    mean = b.op(b.node.op_type.removeprefix("QLinear"), real, **b.given(window))
    b.gives(0, _last(b, b.op("QuantizeLinear", *filter(None, (mean, scale, zero))), rank))


def _refuse_other(b: Body, known: tuple[str, ...]) -> None:
    if other := next((a.name for a in b.node.attribute if a.name not in known), None):
        raise ValueError(f"attribute {other!r}")


def _first(b: Body, x: str, rank: int) -> str:
    return b.op("Transpose", x, perm=[0, rank - 1, *range(1, rank - 1)])


def _last(b: Body, x: str, rank: int) -> str:
    return b.op("Transpose", x, perm=[0, *range(2, rank), 1])
