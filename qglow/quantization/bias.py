"""Bias correction: rounded weights shift a product's mean output; the shift that calibration expects is taken off the
bias.

(26) shift[o] = sum over i of (s_w[o] q[o, i] - w[o, i]) E[x[i]], after Nagel et al., Data-Free Quantization, 2019.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..graph import Array, Node, Quant
from .state import QuantState, by_gain


@by_gain
def measure_means(state: QuantState) -> QuantState:
    """The mean of every channel (axis 1) of every value that has one, in units of its factors
    (channel_equalization.py)."""
    if not state.config.correct_bias:
        return state
    means = {v: m for v, o in state.observed.items() if (m := o.channel_mean) is not None}
    for v, d in state.factors.items():
        if v in means:
            if d.ndim > 1 and d.size == d.shape[1] == means[v].size:
                means[v] = means[v] / d.ravel()
            else:
                del means[v]
    return replace(state, means=means)


def output_shift(node: Node, w: Array, q: Array, quant: Quant, mean: Array) -> Array | None:
    """(26) for Conv, Gemm and ConvTranspose: [output channels], or None where the means are not those of the input
    channels."""
    s = np.array(quant.scale, np.float64)
    if node.op == "Conv":
        error = (
            (q * s.reshape(-1, *(1,) * (w.ndim - 1)) - w.astype(np.float64)).reshape(w.shape[0], w.shape[1], -1).sum(2)
        )
        groups = int(node.attr("group"))
        if mean.size != w.shape[1] * groups:
            return None
        return np.asarray((error * np.repeat(mean.reshape(groups, -1), w.shape[0] // groups, 0)).sum(1))
    if node.op == "Gemm":
        error = q * (s[:, None] if node.attr("transB") else s) - w.astype(np.float64)
        error = error if node.attr("transB") else error.T
        return np.asarray(error @ mean) if mean.size == error.shape[1] else None
    return None
