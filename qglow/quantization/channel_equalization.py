"""Channel balance: each channel of an activation is stored in units of its own, so that a weak channel is not lost in a
strong one's range.

A tensor has one scale, but a factor d <= 1 a channel costs nothing where its producers and consumers can take it in
(channels.py):

1. A product's output channel o is divided by d[o] in its weights and bias; its scales are per channel already.
2. A product's input channel i is multiplied by d[i] in its weights, and so is a feature of an LSTM's input.
3. The table of a function of one tensor holds f(x d_in) / d_out.
4. A value that a float node makes is divided by d before it is rounded, where weak channels would be lost.

Equations (22) to (25) of docs/quantization.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..graph import Array, DType, Graph, Node, TensorType
from ..graph.type_rules import channel_axis
from ..ops.traits import HOMOGENEOUS, PRODUCT, RESHAPE
from ..profiling.observers import Observer, recurrent_inputs
from .channels import SMALL, ChannelGroups, Channels
from .pointwise import Function
from .state import QuantState, by_gain

POWER, HEADROOM, LEAST = 0.75, 1.5, 2.0**-5
UNEVEN, UNEVEN_FEATURES = 1 / 16, 1 / 3
REACH = 3.5  # standard deviations: the largest of n values of a normal distribution is near sqrt(2 ln n)
RARE = 2.0  # a channel's sum over its largest value: below, that one value is more than half of all that was seen
WORTH = 0.4  # at most this share of its noise must be left for a table to get a row a channel


@by_gain
def equalize_channels(state: QuantState) -> QuantState:
    """Factors of every quantized value, taken into weights and functions. Values without factors are not in
    `factors`."""
    if not state.config.balance_channels or state.config.weights == "per_tensor":
        return state
    channels = Channels()
    ids = ChannelGroups(state, channels, _uneven(state)).run()
    factor = _solve(channels, ids, state)
    for v in _too_dear(state, {v: factor[a] for v, a in ids.items()}):
        channels.block(np.unique(ids[v]))
    factor = _solve(channels, ids, state)
    factors = {v: d for v, a in ids.items() if v in state.quants and ((d := factor[a]) != 1).any()}
    functions = {v: _scaled_function(f, factors) for v, f in state.functions.items()}
    return (
        replace(state, graph=_scaled_weights(state, factors), functions=functions, factors=factors)
        if factors
        else state
    )


def _uneven(state: QuantState) -> dict[str, tuple[int, int]]:
    """Values that float nodes make, of images or lines, half of whose channels reach less than UNEVEN of the whole; the
    axis of their channels, and how many. What an LSTM reads, or where it comes from, is worth it sooner."""
    found = _read_by_lstm(state)
    for node in state.graph.nodes:
        v = node.outputs[0]
        o = state.observed.get(v)
        if state.is_int8(node) or v not in state.quants or o is None or o.channel_min is None or o.channel_max is None:
            continue
        reach = np.maximum(o.channel_max, -o.channel_min).astype(np.float64)
        if v not in found and state.graph.types[v].rank in (3, 4) and np.median(reach) < UNEVEN * reach.max():
            found[v] = 1, len(reach)
    return found


def _read_by_lstm(state: QuantState) -> dict[str, tuple[int, int]]:
    """Values that are rounded for int8 LSTMs alone, half of whose features reach less than UNEVEN_FEATURES of the
    whole; their last axis, and how many features."""
    graph, found = state.graph, dict[str, tuple[int, int]]()
    makers, readers = graph.producers(), graph.consumers()
    for node in filter(state.is_int8, graph.nodes):
        o = state.observed.get(node.inputs[0]) if node.op == "LSTM" else None
        size = graph.constants[node.inputs[1]].shape[-1] if node.op == "LSTM" else 0
        if o is None or o.channel_min is None or o.channel_max is None or o.channel_min.shape != (size,):
            continue
        v = node.inputs[0]
        while (maker := makers.get(v)) is not None and state.is_int8(maker) and _keeps_features(graph, maker):
            v = maker.inputs[0]
        # NOTE: float nodes read what was not rounded
        int8 = filter(state.is_int8, readers.get(v, ()))
        alone = all(r.op == "LSTM" or _keeps_features(graph, r) for r in int8)
        reach = np.maximum(o.channel_max, -o.channel_min).astype(np.float64)
        made = v in graph.inputs or ((maker := makers.get(v)) is not None and not state.is_int8(maker))
        if made and alone and v in state.quants and np.median(reach) < UNEVEN_FEATURES * reach.max():
            found[v] = (graph.types[v].rank or 1) - 1, size
    return found


def _keeps_features(graph: Graph, node: Node) -> bool:
    """Whether a node moves whole rows of the last axis."""
    if node.op == "Transpose":
        perm = node.attr("perm")  # NOTE: by default the last axis becomes the first
        return bool(perm and perm[-1] == len(perm) - 1)
    before, after = (graph.types[v].shape for v in (node.inputs[0], node.outputs[0]))
    return bool(node.has(RESHAPE) and before and after and before[-1] == after[-1] not in (1, None))


def _too_dear(state: QuantState, factors: Mapping[str, Array]) -> list[str]:
    """Roots and outputs of large tables for which a row a channel, which takes longer, would save too little of the
    noise."""
    values = []
    for v, f in state.functions.items():
        shape = state.graph.types[v].shape or ("unknown",)
        size = (
            np.prod([d for d in shape if isinstance(d, int)]) if all(isinstance(d, int) for d in shape[1:]) else np.inf
        )
        if (
            v not in factors
            or f.root not in factors
            or f.axis is not None
            or size <= SMALL
            or all(n.has(HOMOGENEOUS) for n in f.nodes)
        ):
            continue
        if all((factors[k] ** 2).mean() > WORTH for k in (f.root, v)):
            values += [f.root, v]
    return values


def with_channel_scales(graph: Graph, factors: Mapping[str, Array]) -> Graph:
    """The quantized graph with the factors of its values as constants `NAME.factors`, so that values can be compared
    with float ones."""
    constants, types = dict(graph.constants), dict(graph.types)
    for name, d in factors.items():
        constants[f"{name}.factors"] = np.asarray(d, np.float32)
        types[f"{name}.factors"] = TensorType(DType.F32, tuple(d.shape))
    return graph.with_(constants=constants, types=types)


def _solve(channels: Channels, ids: Mapping[str, Array], state: QuantState) -> Array:
    """(22) the factor of every number: the largest share of its tensor's range that any of its channels reaches, with
    headroom."""
    root = channels.roots()
    share = np.zeros(len(root))
    rows = recurrent_inputs(state.graph)
    for v, (dtype, quant) in state.quants.items():
        if (reach := _reach(state.observed.get(v), ids.get(v), -1 if v in rows else 1)) is not None:
            low, high = TensorType(dtype, None, quant).real_limits()
            up, down = reach[1] / high if high > 0 else 0 * reach[1], reach[0] / low if low < 0 else 0 * reach[0]
            np.maximum.at(share, root[ids[v].ravel()], np.maximum(up, down))
    share = np.clip(np.where(share > 0, share * HEADROOM, 1.0), LEAST, 1.0)
    share[root[list(channels.blocked)]] = 1.0
    share = share[root]
    return np.asarray(share**POWER)


def _reach(o: Observer | None, a: Array | None, axis: int) -> tuple[Array, Array] | None:
    """(least, largest) value of every channel, with 0 in between, as far as few values can have shown it: beyond all
    limits where one value was nearly all; None where they were not recorded for the value's channels."""
    if o is None or a is None or o.channel_min is None or o.channel_max is None:
        return None
    if a.ndim < 2 or a.size != a.shape[axis] or o.channel_min.shape != (a.size,):
        return None
    unseen = max(1.0, REACH / np.sqrt(2 * np.log(max(2.0, o.count / a.size))))
    low, high = (v.astype(np.float64) for v in (np.minimum(o.channel_min, 0), np.maximum(o.channel_max, 0)))
    reach = np.where(_is_rare(o, high - low), 1e30, unseen)
    return low * reach, high * reach


def _is_rare(o: Observer, largest: Array) -> Array:
    """Channels of values of one sign, as behind a ReLU, of which one value makes more than half of the sum: they were
    hardly ever other than 0, and what they reach is not known."""
    mean = o.channel_mean
    if mean is None or o.channel_min is None or o.channel_max is None:
        return np.zeros(largest.shape, bool)
    total = np.abs(mean) * o.channel_count
    return np.asarray(((o.channel_min >= 0) | (o.channel_max <= 0)) & (total < RARE * largest))


def _scaled_function(f: Function, factors: Mapping[str, Array]) -> Function:
    """Rule 3: the function between a root and an output that have factors."""
    d_in, d_out = factors.get(f.root), factors.get(f.output)
    if d_in is None and d_out is None:
        return f
    one = np.ones(1)
    a, b = (one if d is None else d.ravel() for d in (d_in, d_out))
    if all(n.has(HOMOGENEOUS) for n in f.nodes):
        return f
    size = max(f.size, a.size, b.size)
    return replace(f, axis=1 if size > 1 else None, size=size, d_in=a, d_out=b)


def _scaled_weights(state: QuantState, factors: Mapping[str, Array]) -> Graph:
    """(23) w[o, i] d[i] / d[o], (24) b[o] / d[o]."""
    graph = state.graph
    constants, types, nodes = dict(graph.constants), dict(graph.types), []
    for node in graph.nodes:
        d_in = factors.get(node.inputs[0]) if node.inputs else None
        d_out = factors.get(state.uses.target(node.outputs[0]))
        if node.op == "LSTM" and state.is_int8(node) and d_in is not None:
            name = f"{next(filter(None, node.outputs))}.balanced.weight"
            constants[name] = (graph.constants[node.inputs[1]].astype(np.float64) * d_in.ravel()).astype(np.float32)
            types[name] = graph.types[node.inputs[1]]
            nodes.append(node.with_(inputs=(node.inputs[0], name, *node.inputs[2:])))
            continue
        if not node.has(PRODUCT) or not state.is_int8(node) or (d_in is None and d_out is None):
            nodes.append(node)
            continue
        w = graph.constants[node.inputs[1]].astype(np.float64)
        w = _along_inputs(node, w, None if d_in is None else d_in.ravel())
        out_axis = channel_axis(node, w.ndim)
        bias = graph.constants[node.inputs[2]].astype(np.float64).ravel() if node.input(2) else None
        if d_out is not None:
            d = d_out.ravel()
            w = w / d.reshape([-1 if k == out_axis else 1 for k in range(w.ndim)])
            bias = None if bias is None else bias / d
        inputs = [node.inputs[0]]
        for hint, array in (("weight", w), ("bias", bias)):
            if array is not None:
                name = f"{node.outputs[0]}.balanced.{hint}"
                constants[name] = array.astype(np.float32)
                types[name] = TensorType(DType.F32, tuple(array.shape))
                inputs.append(name)
        nodes.append(node.with_(inputs=tuple(inputs)))
    return graph.with_(nodes=tuple(nodes), constants=constants, types=types)


def _along_inputs(node: Node, w: Array, d: Array | None) -> Array:
    """The weights times the factors of their input channels."""
    if d is None:
        return w
    if node.op == "Conv":
        groups = int(node.attr("group"))
        per_output = np.repeat(d.reshape(groups, -1), w.shape[0] // groups, 0)
        return np.asarray(w * per_output.reshape(w.shape[0], w.shape[1], *(1,) * (w.ndim - 2)))
    axis = 1 if node.op == "Gemm" and node.attr("transB") else 0
    return np.asarray(w * d.reshape([-1 if k == axis else 1 for k in range(w.ndim)]))
