"""Activations to which a model that came quantized gives a scale for each channel (axis 1), as NNCF does before
depthwise convolutions.

1. Such a value has one scale here, the least power of two that is not below any of the model's, and a factor a channel
   (channel_equalization.py): their product is the model's scale, exactly.
2. A product that makes it is divided by the factors, a depthwise Conv that reads it is multiplied by them: both in the
   scales of the weights, whose integers stay.
3. A clamp is fused over it where it bounds all channels alike: at 0, or where all of them end anyway.
4. All else that reads or makes it is float.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import Array, Graph, Node, Quant, TensorType
from ..ops.traits import PRODUCT
from ..reference.arithmetic import quantize
from .precision_uses import data_inputs
from .state import Quants, QuantState
from .weights import output_axis


def split_channel_scales(graph: Graph, quants: Quants) -> tuple[Quants, dict[str, Array]]:
    """Rule 1: parameters per tensor, and the factors of those values that had a scale a channel, [1, channels, 1,
    ...]."""
    one, factors = dict(quants), {}
    for v, (dtype, quant) in quants.items():
        if quant.axis is not None:
            scales = np.array(quant.scale)
            base = 2.0 ** np.ceil(np.log2(scales.max()))
            one[v] = dtype, Quant.per_tensor(base, quant.zero_point[0])
            factors[v] = (scales / base).reshape(1, -1, *(1,) * (len(graph.types[v].shape or ()) - 2))
    return one, factors


def without_channel_scales(state: QuantState) -> dict[str, str]:
    """Rules 2 to 4: why int8 nodes that would read or make such a value stay float, by node name."""
    if not state.factors:
        return {}
    reason = "a value that it reads or makes has a scale for each channel"
    return {n.name: reason for n in filter(state.is_int8, state.graph.nodes) if not _fits(state, n)}


def _fits(state: QuantState, node: Node) -> bool:
    output = node.outputs[0]
    if output in state.uses.clamped:
        return _bounds_alike(state, output)
    function = state.functions.get(output)
    reads = [function.root] if function is not None else data_inputs(state.graph, node)
    made = [state.uses.target(o) for o in node.outputs]
    if state.factors.keys().isdisjoint((*reads, *made)):
        return True
    if function is not None or not node.has(PRODUCT) or (made[0] in state.factors and output_axis(node) is None):
        return False
    return reads[0] not in state.factors or is_depthwise(node, state.graph.constants)


def is_depthwise(node: Node, constants: Mapping[str, Array]) -> bool:
    """Whether each output channel of a product reads one input channel."""
    w = constants.get(node.inputs[1])
    return node.op == "Conv" and w is not None and w.shape[1] == 1


def _bounds_alike(state: QuantState, value: str) -> bool:
    """Rule 3, of a value that a fused clamp gives."""
    if value not in state.factors:
        return True
    dtype, quant = state.quants[value]
    t = TensorType(dtype, None, quant)
    with np.errstate(over="ignore"):
        ends = [
            (b, np.float32(b) / state.factors[value].astype(np.float32), end)
            for b, end in zip(state.functions[value].clamp_bounds(state.graph), t.limits(), strict=True)
        ]
    return all(b == 0 or bool((quantize(of_channels, t) == end).all()) for b, of_channels, end in ends)
