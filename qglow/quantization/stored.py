"""The weights of a model that came quantized: its own integers, or the reason why int8 products cannot have them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import Array, Graph, Node, Quant
from ..reference.arithmetic import within_int32
from .folded import MIXED
from .qdq import Stored
from .state import QuantState
from .weights import output_axis

Kept = tuple[Array, Quant, Array | None]  # int8 weights, their parameters, bias as int64 [channels] or [1]


Factors = tuple[Array, Array]  # of the input and of the output channel, by output channel: [channels] or [1]


def factors_of(state: QuantState, node: Node) -> Factors:
    """The factors of what a product reads and makes (channel_scales.py)."""
    one, w = np.ones(1), state.graph.constants.get(node.inputs[1])
    d_in, d_out = state.factors.get(node.inputs[0], one).ravel(), one
    if state.uses.target(node.outputs[0]) in state.uses.stored:
        d_out = state.factors.get(state.uses.target(node.outputs[0]), one).ravel()
    # NOTE: a depthwise Conv may have several output channels to one of its input
    return d_in if w is None or d_in.size == 1 else np.repeat(d_in, len(w) // d_in.size), d_out


def kept_integers(
    graph: Graph, stored: Mapping[str, Stored], node: Node, x: Quant, factors: Factors
) -> Kept | str | None:
    """Weights and bias of a product as the model stores them; why they cannot be kept; or None where its weights are
    floats."""
    w, axis = stored.get(node.inputs[1]), output_axis(node)
    if w is None:
        return None
    if w.axis == MIXED:
        return "its weights were reshaped, and have a scale for other groups than output channels"
    if w.axis not in (None, axis):
        return f"its weights have a scale for each index of axis {w.axis}, not for each output channel"
    eight = w.in_8_bits()
    if eight is None:
        return "its weights have more than 8 bits"
    q, zero = eight
    d_in, d_out = factors
    of_input = w.scale * d_in.astype(np.float32)
    scale = (of_input / d_out).astype(np.float32)
    quant = Quant(tuple(map(float, scale)), tuple(map(int, np.broadcast_to(zero, scale.shape))),
                  axis if scale.size > 1 else w.axis)  # fmt: skip
    if not node.input(2):
        return q, quant, None
    bias = _bias(graph, stored, node.inputs[2], (x.s * of_input).astype(np.float32))
    return (
        (q, quant, bias)
        if np.abs(bias).max(initial=0) <= 2**31
        else "its bias, in units of its accumulator, has more than 32 bits"
    )


def overflow(node: Node, kept: Kept, x: Quant, y: Quant | None) -> str | None:
    """Why int32 does not hold the sums of a product whose result has parameters y (None: it is float), or None."""
    (q, w, bias), axis = kept, output_axis(node)
    along = [-1 if k == w.axis else 1 for k in range(q.ndim)]
    others = tuple(k for k in range(q.ndim) if k != axis)
    size = np.abs(q.astype(np.int64) - np.array(w.zero_point).reshape(along)).sum(others)
    worst = 255 * size + (0 if bias is None else np.abs(bias))
    scale = None if y is None else float(x.s) * np.array(w.scale) / float(y.s)
    return None if within_int32(worst, scale) else "a sum of its products and its bias could leave int32"


def _bias(graph: Graph, stored: Mapping[str, Stored], name: str, unit: Array) -> Array:
    """The model's integers where they count in units of the accumulator, else its real bias in these, rounded."""
    bias = stored.get(name)
    if bias is not None and bias.axis != MIXED and np.allclose(bias.scale, unit, rtol=1e-5, atol=0):
        return bias.q.ravel()
    real = graph.constants[name].ravel() / unit.astype(np.float64)
    return np.clip(np.rint(real), -(2.0**40), 2.0**40).astype(np.int64)
