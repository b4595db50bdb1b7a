"""int8 weights and int32 biases of a matrix product, with guards against bias overflow and vanishing scales."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node, Quant
from ..graph.type_rules import channel_axis
from .config import QuantConfig

_BIAS_LIMIT = 2.0**30
_SMALLEST = 2.0**-100


def output_axis(node: Node) -> int | None:
    """The axis of a product's weights along which its output channels lie; None where one scale must serve all."""
    if node.op == "ConvTranspose" and node.attr("group") != 1:
        return None
    return channel_axis(node, 2)


def quantize_weights(
    w: Array, channel_axis: int | None, bias: Array | None, s_x: float, config: QuantConfig
) -> tuple[Array, Quant, Array | None]:
    """(int8 weights in [-127, 127], their parameters, int32 bias at scale s_x * s_w). bias: float [channels] or None.

    A scale is the largest magnitude of its channel over 127; it is raised where the bias would not fit 31 bits
    otherwise.
    """
    if config.weights == "per_tensor":
        channel_axis = None
    axes = tuple(k for k in range(w.ndim) if k != channel_axis)
    largest = np.abs(w.astype(np.float64)).max(axes, initial=0.0)
    scale = np.where(largest > 0, largest / 127, 1.0)
    if bias is not None:
        need = np.abs(bias.astype(np.float64)) / (s_x * _BIAS_LIMIT)
        scale = np.maximum(scale, need if channel_axis is not None else np.max(need, initial=0.0))
    scale = np.maximum(scale, _SMALLEST)
    if config.power_of_two:
        scale = 2.0 ** np.ceil(np.log2(scale))
    s = np.atleast_1d(scale).astype(np.float32)
    along = s.reshape([-1 if k == channel_axis else 1 for k in range(w.ndim)]).astype(np.float64)
    q = np.clip(np.rint(w / along), -127, 127).astype(np.int8)
    quant = Quant.per_tensor(float(s[0]), 0) if channel_axis is None else Quant.per_axis(s, channel_axis)
    if bias is None:
        return q, quant, None
    unit = (np.float32(s_x) * s).astype(np.float64)
    return q, quant, np.clip(np.rint(bias.astype(np.float64) / unit), -_BIAS_LIMIT, _BIAS_LIMIT).astype(np.int32)
